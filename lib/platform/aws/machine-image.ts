import { DataAwsAmi } from "@cdktf/provider-aws/lib/data-aws-ami";
import type { Construct } from "constructs";
import { isToken, refuse } from "../../problem";

export type Architecture = "x86_64" | "arm64";

export interface LookupProps {
  /** Account id or alias of the publisher. */
  readonly owner: string;
  /** Name pattern, with `*`. The newest match is taken when an instance is made, and kept. */
  readonly name: string;
  /** Login user of the image. */
  readonly user: string;
  /** @default "x86_64" */
  readonly architecture?: Architecture;
}

/** What instances boot from. A newer image never replaces an instance by itself. */
export class MachineImage {
  /** Debian 12, from Debian's own account. */
  static debian12(architecture: Architecture = "x86_64"): MachineImage {
    const suffix = architecture === "arm64" ? "arm64" : "amd64";
    return this.lookup({ owner: "136693071363", name: `debian-12-${suffix}-*`, user: "admin", architecture });
  }

  /** Ubuntu 22.04, from Canonical's own account. */
  static ubuntu2204(architecture: Architecture = "x86_64"): MachineImage {
    const suffix = architecture === "arm64" ? "arm64" : "amd64";
    return this.lookup({
      owner: "099720109477",
      name: `ubuntu/images/hvm-ssd/ubuntu-jammy-22.04-${suffix}-server-*`,
      user: "ubuntu",
      architecture,
    });
  }

  /** The newest image of a publisher. */
  static lookup(props: LookupProps): MachineImage {
    return new MachineImage(props.user, props.architecture ?? "x86_64", { lookup: props });
  }

  /** A certain image: `ami-0123456789abcdef0`. It must be Debian or Ubuntu. */
  static id(
    id: string,
    props: { readonly user: string; readonly architecture?: Architecture },
  ): MachineImage {
    if (!isToken(id) && !/^ami-[0-9a-f]{8,17}$/.test(id)) {
      refuse("MachineImage.id", {
        code: "bad-name",
        what: `'${id}'`,
        allowed: "the id of an AMI: ami- and 8 or 17 hexadecimal digits",
        fix: "copy it from the console, or use MachineImage.lookup",
      });
    }
    return new MachineImage(props.user, props.architecture ?? "x86_64", { id });
  }

  private constructor(
    /** Login user. */
    readonly user: string,
    readonly architecture: Architecture,
    private readonly source: { readonly id?: string; readonly lookup?: LookupProps },
  ) {}

  /** The AMI's id where it is a certain one. */
  get id(): string | undefined {
    return this.source.id;
  }

  /** The AMI's id, looked up once for the platform. */
  resolve(scope: Construct): string {
    const { id, lookup } = this.source;
    if (id !== undefined) return id;
    return new DataAwsAmi(scope, "image", {
      owners: [lookup!.owner],
      mostRecent: true,
      filter: [
        { name: "name", values: [lookup!.name] },
        { name: "architecture", values: [this.architecture] },
        { name: "virtualization-type", values: ["hvm"] },
        { name: "root-device-type", values: ["ebs"] },
      ],
    }).id;
  }
}
