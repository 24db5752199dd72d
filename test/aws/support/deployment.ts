import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { AwsProvider } from "@cdktf/provider-aws/lib/provider";
import { S3Backend, type TerraformStack } from "cdktf";
import { installed, REGION, type Cloud, type Keys } from "../../../machines/aws/cloud";
import type { Lab } from "../../../machines/lab";
import { run } from "../../../machines/run";
import { Deployment, type Outcome } from "../../support/deployment";

type Build = (stack: TerraformStack) => unknown;
type Action = "create" | "update" | "delete" | "replace";

/** What Terraform is about to do. */
export interface Plan {
  /** Resources of AWS's by type and name (without its hash): `aws_instance.lb_lb-2_instance: replace`. */
  readonly actions: Readonly<Record<string, Action>>;
  /** Services that are pushed, by machine: `lb-1 haproxy`. */
  readonly output: string;
}

export interface AwsDeploymentProps {
  /** The deployer's rights. Default: all. */
  readonly policy?: object;
  /** Where the state is kept, and locked. Default: a local file, unlocked. */
  readonly bucket?: string;
}

export const STATE_KEY = "load-balancer.tfstate";

/** A stack that the real AWS provider applies to the emulated AWS: by environment alone, the stack knows of none. */
export class AwsDeployment extends Deployment {
  static async create(
    lab: Lab,
    cloud: Cloud,
    build: Build,
    { policy, bucket }: AwsDeploymentProps = {},
  ): Promise<AwsDeployment> {
    const providers = await installed("--providers");
    const directory = join(lab.directory, "deployment");
    const keys = await cloud.user("deployer", policy);
    const deployment = new AwsDeployment(directory, build, cloud, keys, bucket);
    writeFileSync(
      deployment.configuration,
      `provider_installation {\n  filesystem_mirror {\n    path = "${providers}"\n  }\n}\n`,
    );
    await deployment.prepare();
    return deployment;
  }

  private constructor(
    directory: string,
    build: Build,
    private readonly cloud: Cloud,
    private readonly keys: Keys,
    private readonly bucket?: string,
  ) {
    super(directory, (stack) => {
      new AwsProvider(stack, "provider", { region: REGION });
      build(stack);
    });
  }

  override changed(build: Build): AwsDeployment {
    return new AwsDeployment(this.directory, build, this.cloud, this.keys, this.bucket);
  }

  protected override keepState(stack: TerraformStack): void {
    if (this.bucket === undefined) {
      super.keepState(stack);
      return;
    }
    new S3Backend(stack, { bucket: this.bucket, key: STATE_KEY, region: REGION, encrypt: true });
    stack.addOverride("terraform.backend.s3.use_lockfile", true); // the bindings do not know it yet
  }

  override get environment(): NodeJS.ProcessEnv {
    return {
      ...super.environment,
      ...this.cloud.environment(this.keys),
      TF_CLI_CONFIG_FILE: this.configuration,
    };
  }

  /** Throws where Terraform cannot plan. */
  async plan(): Promise<Plan> {
    const { ok, output } = await this.tryPlan();
    if (!ok) throw new Error(`plan failed:\n${output.slice(-3000)}`);
    const { stdout } = await run("terraform", ["show", "-json", this.planFile], {
      cwd: this.stackDirectory,
      env: this.environment,
    });
    const changes = (
      JSON.parse(stdout) as {
        resource_changes: { mode: string; address: string; change: { actions: string[] } }[];
      }
    ).resource_changes;
    const actions = changes
      .filter(({ mode, address }) => mode === "managed" && address.startsWith("aws_"))
      .map(({ address, change }): [string, string] => [
        address.replace(/_[0-9A-F]{8}$/, ""),
        change.actions.length > 1 ? "replace" : change.actions[0]!,
      ])
      .filter(([, action]) => action !== "no-op");
    return { actions: Object.fromEntries(actions) as Record<string, Action>, output };
  }

  async tryPlan(): Promise<Outcome> {
    this.synth();
    return this.terraform("plan", "-input=false", `-out=${this.planFile}`);
  }

  /** Applies what was planned last; throws where that fails. */
  carryOut(): Promise<Outcome> {
    return this.mustApply(this.planFile);
  }

  /** Plans and applies, by one command: each one that knows the provider takes three seconds of a processor for that. */
  override deploy(): Promise<Outcome> {
    this.synth();
    return this.mustApply("-auto-approve");
  }

  private async mustApply(what: string): Promise<Outcome> {
    const outcome = await this.terraform("apply", "-input=false", what);
    await this.cloud.settled();
    if (!outcome.ok)
      throw new Error(
        `apply failed:\n${outcome.steps.join("\n")}\n${outcome.output.slice(-3000)}\n${this.cloud.complaints}`,
      );
    return outcome;
  }

  private get configuration(): string {
    return join(this.directory, "aws.rc");
  }

  private get planFile(): string {
    return join(this.directory, "plan");
  }
}
