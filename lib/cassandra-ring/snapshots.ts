import { refuse } from "../problem";
import { PLAIN_PATH } from "../push/bundle";
import type { ServicePackage } from "../push/service";
import { renderFacts } from "../facts";
import { parseS3Url, type S3Place } from "../s3-url";

export interface SnapshotProps {
  /** systemd's calendar expression. @default "daily" */
  readonly schedule?: string;
  /** Snapshots that are kept of each node; older ones are removed. @default 7 */
  readonly keep?: number;
}

/** Where each node's snapshots go: rows as files, with the schema beside them. */
export class Snapshots {
  /** A directory on each node: a mount of another machine's disk, else it dies with the node. */
  static directory(path: string, props: SnapshotProps = {}): Snapshots {
    if (!PLAIN_PATH.test(path)) {
      refuse("Snapshots.directory", {
        code: "bad-path",
        what: `'${path}'`,
        allowed: "an absolute path on the machines, of letters, digits and @%+=:,._-",
        fix: "choose such a path",
      });
    }
    return new Snapshots("directory", path, props);
  }

  /** A prefix in a bucket, `s3://bucket/prefix`, with the rights of the machine's instance profile. */
  static s3(url: string, props: SnapshotProps = {}): Snapshots {
    parseS3Url("Snapshots.s3", url);
    return new Snapshots("s3", url.replace(/\/$/, ""), props);
  }

  readonly schedule: string;
  readonly packages: readonly ServicePackage[];

  private constructor(
    private readonly kind: "directory" | "s3",
    private readonly target: string,
    private readonly props: SnapshotProps,
  ) {
    const { keep = 7 } = props;
    if (!(Number.isInteger(keep) && keep >= 1)) {
      refuse("Snapshots", {
        code: "number-out-of-range",
        what: `'keep' is ${keep}`,
        allowed: "a whole number from 1 on",
        fix: "leave it out for 7",
      });
    }
    this.schedule = props.schedule ?? "daily";
    this.packages = kind === "s3" ? [{ name: "awscli", unlessCommand: "aws" }] : [];
  }

  /** Where the machines need rights; nothing for a directory. */
  get place(): S3Place | undefined {
    return this.kind === "s3" ? parseS3Url("Snapshots.s3", this.target) : undefined;
  }

  get facts(): string {
    return renderFacts("where snapshots go", {
      SNAPSHOT_KIND: this.kind,
      SNAPSHOT_TARGET: this.target,
      SNAPSHOT_KEEP: this.props.keep ?? 7,
    });
  }
}
