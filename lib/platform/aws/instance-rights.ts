import { DataAwsIamPolicyDocument } from "@cdktf/provider-aws/lib/data-aws-iam-policy-document";
import { IamInstanceProfile } from "@cdktf/provider-aws/lib/iam-instance-profile";
import { IamRole } from "@cdktf/provider-aws/lib/iam-role";
import { IamRolePolicy } from "@cdktf/provider-aws/lib/iam-role-policy";
import type { ITerraformDependable } from "cdktf";
import type { Construct } from "constructs";
import { atSynth } from "../at-synth";

/** One permission of a machine. */
export interface Right {
  readonly actions: readonly string[];
  /** ARNs; `*` only where AWS knows no narrower one (Describe calls). */
  readonly resources: readonly string[];
  /** @default - always */
  readonly condition?: {
    readonly test: string;
    readonly variable: string;
    readonly values: readonly string[];
  };
}

/**
 * What one machine may do at AWS: nothing until something is granted, then exactly that. A role for each machine, because
 * what a machine may touch (its own interface) is different for each.
 */
export class InstanceRights {
  private readonly rights: Right[] = [];
  private policy?: IamRolePolicy;
  /** Name of the instance profile; nothing for a machine without rights. */
  profileName?: string;

  constructor(
    private readonly scope: Construct,
    /** Of role and profile. An account has one of each name, in all regions together. */
    private readonly name: string,
    private readonly tags: Readonly<Record<string, string>>,
    private readonly permissionsBoundary?: string,
  ) {}

  grant(right: Right): void {
    const key = JSON.stringify(right);
    if (this.rights.some((other) => JSON.stringify(other) === key)) return;
    this.rights.push(right);
    if (this.profileName === undefined) this.create();
  }

  /** What must exist before the machine can use its rights. */
  get readiness(): readonly ITerraformDependable[] {
    return this.policy ? [this.policy] : [];
  }

  private create(): void {
    const { scope, name, tags, permissionsBoundary } = this;
    const trust = new DataAwsIamPolicyDocument(scope, "trust", {
      statement: [
        {
          actions: ["sts:AssumeRole"],
          principals: [{ type: "Service", identifiers: ["ec2.amazonaws.com"] }],
        },
      ],
    });
    const role = new IamRole(scope, "role", {
      name,
      assumeRolePolicy: trust.json,
      permissionsBoundary,
      tags: { ...tags },
    });
    const document = new DataAwsIamPolicyDocument(scope, "rights", {
      statement: atSynth(() =>
        this.rights.map(({ actions, resources, condition }) => ({
          actions,
          resources,
          ...(condition && { condition: [condition] }),
        })),
      ) as never,
    });
    this.policy = new IamRolePolicy(scope, "policy", {
      name: "cdktf-ha",
      role: role.id,
      policy: document.json,
    });
    this.profileName = new IamInstanceProfile(scope, "profile", {
      name,
      role: role.name,
      tags: { ...tags },
    }).name;
  }
}
