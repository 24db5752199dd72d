import { DataAwsCallerIdentity } from "@cdktf/provider-aws/lib/data-aws-caller-identity";
import { DataAwsIamPolicyDocument } from "@cdktf/provider-aws/lib/data-aws-iam-policy-document";
import { DataAwsPartition } from "@cdktf/provider-aws/lib/data-aws-partition";
import { DataAwsRegion } from "@cdktf/provider-aws/lib/data-aws-region";
import { Eip } from "@cdktf/provider-aws/lib/eip";
import { IamInstanceProfile } from "@cdktf/provider-aws/lib/iam-instance-profile";
import { IamRole } from "@cdktf/provider-aws/lib/iam-role";
import { IamRolePolicy } from "@cdktf/provider-aws/lib/iam-role-policy";
import { Instance } from "@cdktf/provider-aws/lib/instance";
import { NetworkInterface } from "@cdktf/provider-aws/lib/network-interface";
import { PlacementGroup } from "@cdktf/provider-aws/lib/placement-group";
import { AwsProvider } from "@cdktf/provider-aws/lib/provider";
import { SecurityGroup } from "@cdktf/provider-aws/lib/security-group";
import { VpcSecurityGroupEgressRule } from "@cdktf/provider-aws/lib/vpc-security-group-egress-rule";
import { VpcSecurityGroupIngressRule } from "@cdktf/provider-aws/lib/vpc-security-group-ingress-rule";
import { NullProvider } from "@cdktf/provider-null/lib/provider";
import { Resource as NullResource } from "@cdktf/provider-null/lib/resource";
import {
  TerraformLocal,
  TerraformResource,
  type ITerraformDependable,
  type RemoteExecProvisioner,
  type TerraformStack,
} from "cdktf";

/** What somebody writes who has the texts already: files by service, as the library renders them. */
export interface RawTexts {
  readonly program: string;
  readonly drain: string;
  readonly undrain: string;
  /** By service, then by file or control. Values of other resources stand in as `<private-ip lb-1>` and the like. */
  readonly services: Readonly<Record<string, Readonly<Record<string, readonly string[]>>>>;
}

interface Node {
  readonly name: string;
  readonly nic: NetworkInterface;
  readonly instance: Instance;
}

/** The same resources with cdktf's own classes and nothing else. */
export function build(stack: TerraformStack, machines: number, texts: RawTexts): void {
  const tags = { ManagedBy: "cdktf-ha-clusters" };
  new AwsProvider(stack, "provider", { region: "eu-west-1" });
  new NullProvider(stack, "null");
  const partition = new DataAwsPartition(stack, "partition");
  const region = new DataAwsRegion(stack, "region");
  const account = new DataAwsCallerIdentity(stack, "account");
  const program = new TerraformLocal(stack, "program", texts.program);
  const drain = new TerraformLocal(stack, "drain", texts.drain);
  const undrain = new TerraformLocal(stack, "undrain", texts.undrain);
  const admin = group("ssh");
  const ssh = ingress("ssh-in", admin, {
    cidrIpv4: "10.0.0.0/24",
    ipProtocol: "tcp",
    fromPort: 22,
    toPort: 22,
  });

  function group(name: string): SecurityGroup {
    const made = new SecurityGroup(stack, `sg-${name}`, { name, vpcId: "vpc-1", tags });
    for (const [id, network] of [
      ["4", { cidrIpv4: "0.0.0.0/0" }],
      ["6", { cidrIpv6: "::/0" }],
    ] as const) {
      new VpcSecurityGroupEgressRule(stack, `out-${name}-${id}`, {
        securityGroupId: made.id,
        ipProtocol: "-1",
        ...network,
        tags,
      });
    }
    return made;
  }

  function ingress(id: string, target: SecurityGroup, config: object): ITerraformDependable {
    return new VpcSecurityGroupIngressRule(stack, id, {
      securityGroupId: target.id,
      ipProtocol: "tcp",
      tags,
      ...config,
    });
  }

  function node(
    name: string,
    zone: string,
    groups: SecurityGroup[],
    placement: PlacementGroup,
    profile?: string,
  ): Node {
    const nic = new NetworkInterface(stack, `${name}-nic`, {
      subnetId: `subnet-${zone}`,
      securityGroups: groups.map(({ id }) => id),
      sourceDestCheck: true,
      tags: { ...tags, Name: name },
    });
    const instance = new Instance(stack, `${name}-instance`, {
      ami: "ami-0123456789abcdef0",
      instanceType: "t3.small",
      keyName: "key",
      placementGroup: placement.name,
      metadataOptions: { httpEndpoint: "enabled", httpTokens: "required", httpPutResponseHopLimit: 1 },
      rootBlockDevice: { encrypted: true, volumeSize: 16, volumeType: "gp3", tags: { ...tags, Name: name } },
      networkInterface: [{ networkInterfaceId: nic.id, deviceIndex: 0 }],
      iamInstanceProfile: profile,
      tags: { ...tags, Name: name },
      lifecycle: { ignoreChanges: ["ami", "user_data", "key_name", "placement_group"] },
    });
    return { name, nic, instance };
  }

  function elsewhere({ nic }: Node, text: string): RemoteExecProvisioner {
    return {
      type: "remote-exec",
      connection: { type: "ssh", host: nic.privateIp, user: "admin", agent: "true", timeout: "10s" },
      inline: [text],
    };
  }

  // nobody here has something to hand over before it goes; who comes later may
  for (const id of ["handovers", "members", "dissolve"])
    new TerraformResource(stack, id, { terraformResourceType: "terraform_data" });

  function push(
    { name, nic, instance }: Node,
    service: string,
    values: Record<string, string>,
    dependsOn: ITerraformDependable[],
    balancers: readonly Node[] = [],
  ): NullResource {
    const contents: Record<string, string[]> = {};
    for (const [file, lines] of Object.entries(texts.services[service] ?? {})) {
      contents[file] = lines.map((line) =>
        line.replace(/<([\w-]+)>/g, (_, key: string) => values[key] ?? ""),
      );
    }
    const local = new TerraformLocal(stack, `${name}-${service}-contents`, contents);
    const keys = Object.keys(contents);
    const joined = (key: string): string => `join("\\n", local.${local.friendlyUniqueId}["${key}"])`;
    return new NullResource(stack, `${name}-${service}`, {
      triggers: {
        machine: instance.id,
        ...Object.fromEntries(keys.map((key) => [key, `\${sha256(${joined(key)})}`])),
      },
      connection: { type: "ssh", host: nic.privateIp, user: "admin", agent: "true", timeout: "300s" },
      dependsOn: [instance, ssh, ...dependsOn],
      provisioners: [
        ...balancers.map((balancer) => elsewhere(balancer, `SERVER=${name}\n${drain.asString}`)),
        {
          type: "remote-exec",
          inline: [["#!/bin/bash", program.asString, ...keys.map((key) => `\${${joined(key)}}`)].join("\n")],
        },
        ...balancers.map((balancer) => elsewhere(balancer, `SERVER=${name}\n${undrain.asString}`)),
      ],
    });
  }

  for (let cluster = 0; cluster < machines / 4; cluster++) {
    const webGroup = group(`web-${cluster}`);
    const lbGroup = group(`lb-${cluster}`);
    const rules = [
      ingress(`http-${cluster}`, lbGroup, { cidrIpv4: "0.0.0.0/0", fromPort: 80, toPort: 80 }),
      ingress(`http6-${cluster}`, lbGroup, { cidrIpv6: "::/0", fromPort: 80, toPort: 80 }),
      ingress(`peers-${cluster}`, lbGroup, {
        referencedSecurityGroupId: lbGroup.id,
        fromPort: 10000,
        toPort: 10000,
      }),
      ingress(`vrrp-${cluster}`, lbGroup, { referencedSecurityGroupId: lbGroup.id, ipProtocol: "112" }),
      ingress(`web-${cluster}-in`, webGroup, {
        referencedSecurityGroupId: lbGroup.id,
        fromPort: 8080,
        toPort: 8080,
      }),
    ];
    const webSpread = new PlacementGroup(stack, `web-${cluster}-spread`, {
      name: `web-${cluster}`,
      strategy: "spread",
      tags,
    });
    const lbSpread = new PlacementGroup(stack, `lb-${cluster}-spread`, {
      name: `lb-${cluster}`,
      strategy: "spread",
      tags,
    });
    const eip = new Eip(stack, `eip-${cluster}`, { domain: "vpc", tags });
    const web = ["a", "b"].map((zone, n) =>
      node(`web-${cluster}-${n + 1}`, zone, [webGroup, admin], webSpread),
    );
    const lb = ["a", "b"].map((zone, n) => {
      const name = `lb-${cluster}-${n + 1}`;
      const trust = new DataAwsIamPolicyDocument(stack, `${name}-trust`, {
        statement: [
          {
            actions: ["sts:AssumeRole"],
            principals: [{ type: "Service", identifiers: ["ec2.amazonaws.com"] }],
          },
        ],
      });
      const role = new IamRole(stack, `${name}-role`, { name, assumeRolePolicy: trust.json, tags });
      const profile = new IamInstanceProfile(stack, `${name}-profile`, { name, role: role.name, tags });
      const machine = node(name, zone, [lbGroup, admin], lbSpread, profile.name);
      const rights = new DataAwsIamPolicyDocument(stack, `${name}-rights`, {
        statement: [
          {
            actions: ["ec2:AssociateAddress"],
            resources: [
              `arn:${partition.partition}:ec2:${region.id}:${account.accountId}:elastic-ip/${eip.allocationId}`,
              machine.nic.arn,
            ],
          },
        ],
      });
      const policy = new IamRolePolicy(stack, `${name}-policy`, {
        name: "ha",
        role: role.id,
        policy: rights.json,
      });
      return { ...machine, policy };
    });
    const values = (self: Node, other: Node): Record<string, string> => ({
      self: self.nic.privateIp,
      other: other.nic.privateIp,
      "web-1": web[0]!.nic.privateIp,
      "web-2": web[1]!.nic.privateIp,
      "lb-1": lb[0]!.nic.privateIp,
      "lb-2": lb[1]!.nic.privateIp,
      nic: self.nic.id,
      allocation: eip.allocationId,
      eip: eip.publicIp,
    });
    let before: ITerraformDependable[] = [];
    for (const [index, machine] of web.entries()) {
      const mine = values(machine, web[1 - index]!);
      const base = push(machine, "web-machine", mine, rules);
      before = [push(machine, "site", mine, [base, ...before], lb)];
    }
    before = [];
    const first: NullResource[] = [];
    for (const [index, machine] of lb.entries()) {
      const mine = values(machine, lb[1 - index]!);
      const base = push(machine, "lb-machine", mine, [...rules, machine.policy]);
      const haproxy = push(machine, "haproxy", mine, [base, ...before]);
      const keepalived = push(machine, "keepalived", mine, [haproxy]);
      if (index === 0) first.push(haproxy, keepalived);
      before = [keepalived];
    }
    const completion = new NullResource(stack, `complete-${cluster}`, {
      triggers: { machine: lb[0]!.instance.id },
      connection: { type: "ssh", host: lb[0]!.nic.privateIp, user: "admin", agent: "true", timeout: "300s" },
      dependsOn: [...first, ...before],
      provisioners: [{ type: "remote-exec", inline: [`#!/bin/bash\n${program.asString}\nha_main complete`] }],
    });
    completion.addOverride(
      "lifecycle.replace_triggered_by",
      first.map((one) => `null_resource.${one.friendlyUniqueId}`),
    );
  }
}
