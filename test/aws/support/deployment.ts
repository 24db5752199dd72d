import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { AwsProvider } from "@cdktf/provider-aws/lib/provider";
import type { TerraformStack } from "cdktf";
import { installed, REGION, type Cloud, type Keys } from "../../../machines/aws/cloud";
import type { Lab } from "../../../machines/lab";
import { Deployment } from "../../support/deployment";

type Build = (stack: TerraformStack) => void;

/** A stack that the real AWS provider applies to the emulated AWS: by environment alone, the stack knows of none. */
export class AwsDeployment extends Deployment {
  static async create(lab: Lab, cloud: Cloud, build: Build): Promise<AwsDeployment> {
    const providers = await installed("--providers");
    const directory = join(lab.directory, "deployment");
    const deployment = new AwsDeployment(directory, build, cloud, await cloud.user("deployer"));
    writeFileSync(
      deployment.configuration,
      `provider_installation {\n  filesystem_mirror {\n    path = "${providers}"\n  }\n}\n`,
    );
    return deployment;
  }

  private constructor(
    directory: string,
    build: Build,
    private readonly cloud: Cloud,
    private readonly keys: Keys,
  ) {
    super(directory, (stack) => {
      new AwsProvider(stack, "provider", { region: REGION });
      build(stack);
    });
  }

  override changed(build: Build): AwsDeployment {
    return new AwsDeployment(this.directory, build, this.cloud, this.keys);
  }

  override get environment(): NodeJS.ProcessEnv {
    return {
      ...super.environment,
      ...this.cloud.environment(this.keys),
      TF_CLI_CONFIG_FILE: this.configuration,
    };
  }

  private get configuration(): string {
    return join(this.directory, "aws.rc");
  }
}
