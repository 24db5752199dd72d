import type { Construct } from "constructs";
import type { Machine } from "../platform/machine";
import { checkCount, refuse } from "../problem";
import { PLAIN_PATH } from "../push/bundle";
import { grantS3, parseS3Url, type S3Place } from "../s3-url";
import type { Secret } from "../secret/secret";
import type { PgbackrestModel, RepositoryModel } from "./pgbackrest-conf";

export interface BackupProps {
  /** When everything is copied: systemd's calendar expression. @default "Sun *-*-* 01:00" */
  readonly fullSchedule?: string;
  /** When everything that changed since the last full backup is copied. @default "Mon..Sat *-*-* 01:00" */
  readonly differentialSchedule?: string;
  /**
   * Full backups that are kept, with the log that leads from the oldest one to now: any moment between is restored.
   * @default 4 - a month, by the default schedule
   */
  readonly retainFull?: number;
  /**
   * When the newest backup is restored beside a replica's data, replayed to the end, read, and removed again; "never" for not at all.
   * @default "Sun *-*-* 05:00" - a backup that nobody has restored is a hope
   */
  readonly restoreTest?: string;
  /**
   * Passphrase by which the members encrypt what they store (AES-256). Decides about the whole repository: it cannot be given, changed
   * or left out later, and without it nothing is ever read again. @default none: what the place itself encrypts
   */
  readonly encryption?: Secret;
  /** Programs that compress and copy at the same time. @default 2 */
  readonly processes?: number;
}

export interface S3BackupProps extends BackupProps {
  /** Region of the bucket. @default - the machines' own; hosts that are not at AWS have none */
  readonly region?: string;
  /**
   * Host of a store that speaks S3 (MinIO, Ceph), with a port where it is not 443: `store.example.net:9000`. A name: its certificate must
   * name it, and pgBackRest does not look for addresses there. Its buckets are found by path.
   * @default - AWS's, for the region
   */
  readonly endpoint?: string;
  /** Path, on the machines, of the certificates that the store's own is signed by. @default - those that the system trusts */
  readonly caFile?: string;
  /** The key to write and read with. @default - the rights of the machine's instance profile, which is at AWS only */
  readonly credentials?: { readonly id: Secret; readonly secret: Secret };
}

/** Where a replica set's backups and its log go, by pgBackRest; and when. */
export class Backups {
  /** A prefix in a bucket: `s3://bucket/prefix`. */
  static s3(url: string, props: S3BackupProps = {}): Backups {
    if (
      props.endpoint !== undefined &&
      !/^[a-z0-9]([a-z0-9.-]*[a-z0-9])?\.?[a-z]+(:\d{1,5})?$/i.test(props.endpoint)
    ) {
      refuse("Backups.s3", {
        code: "bad-address",
        what: `'endpoint' is '${props.endpoint}'`,
        allowed:
          "a host's name, with a port where it is not 443: pgBackRest always speaks https, and only to names",
        fix: "endpoint: store.example.net:9000",
      });
    }
    if (props.caFile !== undefined) checkPath("caFile", props.caFile);
    return new Backups(props, { ...props, place: parseS3Url("Backups.s3", url) });
  }

  /**
   * A directory that all members see: a mount of another machine's disk, in which the user postgres may write. Of a set with a single
   * member, a disk of its own would do for mistakes, and not for the loss of the machine.
   */
  static directory(path: string, props: BackupProps = {}): Backups {
    checkPath("path", path);
    return new Backups(props, path);
  }

  private constructor(
    readonly props: BackupProps,
    private readonly to: string | (S3BackupProps & { readonly place: S3Place }),
  ) {
    checkCount("Backups", "retainFull", props.retainFull, 1, 9999, "one at least");
    checkCount("Backups", "processes", props.processes, 1, 999, "one at least");
  }

  get schedules(): { readonly full: string; readonly diff: string; readonly test?: string } {
    const {
      fullSchedule = "Sun *-*-* 01:00",
      differentialSchedule = "Mon..Sat *-*-* 01:00",
      restoreTest = "Sun *-*-* 05:00",
    } = this.props;
    return {
      full: fullSchedule,
      diff: differentialSchedule,
      ...(restoreTest === "never" ? {} : { test: restoreTest }),
    };
  }

  /** In words, without secrets. */
  get place(): string {
    if (typeof this.to === "string") return this.to;
    const { place, endpoint } = this.to;
    return `s3://${place.bucket}/${place.prefix}${endpoint === undefined ? "" : ` at ${endpoint}`}`;
  }

  get secrets(): readonly Secret[] {
    const credentials = typeof this.to === "string" ? undefined : this.to.credentials;
    const { encryption } = this.props;
    return [
      ...(credentials ? [credentials.id, credentials.secret] : []),
      ...(encryption ? [encryption] : []),
    ];
  }

  /** What the configuration says of the place. */
  model(machine: Machine): Pick<PgbackrestModel, "repository" | "cipherPass" | "retainFull" | "processes"> {
    const { encryption, retainFull = 4, processes = 2 } = this.props;
    return {
      repository: this.repository(machine),
      cipherPass: encryption?.placeholder,
      retainFull,
      processes,
    };
  }

  /** The rights of each member's instance profile, where there are such; and what has no rights otherwise. */
  grant(set: Construct, machines: readonly Machine[], use: "read" | "write"): void {
    if (typeof this.to === "string") return;
    const { place, region, credentials } = this.to;
    for (const machine of machines) {
      if (credentials === undefined) {
        if (!machine.aws) {
          refuse(set, {
            code: "no-credentials",
            what: `member '${machine.name}' is not at AWS, and 'backups' has no 'credentials'`,
            allowed: "an instance profile, which the library fills, or a key",
            fix: "credentials: { id: Secret.variable(...), secret: Secret.variable(...) }",
          });
        }
        grantS3(machine, place, use);
      }
      if (region === undefined && !machine.aws) {
        refuse(set, {
          code: "no-region",
          what: `member '${machine.name}' is in no region of AWS, and 'backups' has no 'region'`,
          allowed: "the bucket's region: requests are signed for it",
          fix: 'region: "eu-west-1", or for a store of your own what it is set to, often "us-east-1"',
        });
      }
    }
  }

  private repository(machine: Machine): RepositoryModel {
    if (typeof this.to === "string") return { kind: "directory", path: this.to };
    const { place, endpoint, caFile, credentials } = this.to;
    const region = this.to.region ?? machine.aws!.region;
    const [host, port] = endpoint === undefined ? [`s3.${region}.amazonaws.com`] : endpoint.split(":");
    return {
      kind: "s3",
      bucket: place.bucket,
      path: `/${place.prefix.replace(/\/$/, "")}`,
      region,
      host: host!,
      port: port === undefined ? undefined : Number(port),
      byPath: endpoint !== undefined,
      caFile,
      key: credentials && { id: credentials.id.placeholder, secret: credentials.secret.placeholder },
    };
  }
}

function checkPath(name: string, path: string): void {
  if (PLAIN_PATH.test(path)) return;
  refuse("Backups", {
    code: "bad-path",
    what: `'${name}' is '${path}'`,
    allowed: "an absolute path on the machines, of letters, digits and @%+=:,._-",
    fix: "choose such a path",
  });
}
