import type { Construct } from "constructs";
import type { Connections } from "../firewall/connections";
import type { Machine } from "../platform/machine";
import { checkCount } from "../problem";
import type { Secret } from "../secret/secret";
import { checkPath, DirectoryStore, type BackupStore, type StoreUse, type StoreWay } from "./backup-store";
import type { PgbackrestModel } from "./pgbackrest-conf";
import { S3Store } from "./s3-store";
import { SshStore } from "./ssh-store";

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

export interface SshBackupProps extends BackupProps {
  /** Account on the host; it owns nothing else, and is nobody's login. @default "pgbackrest" */
  readonly user?: string;
  /** @default - 22, or a platform machine's own */
  readonly port?: number;
  /** Private key without a passphrase, as ssh-keygen writes it: the same for all members. Whoever has it can drop what is stored. */
  readonly privateKey: Secret;
  /**
   * The host's own public key, as in `/etc/ssh/ssh_host_ed25519_key.pub` there: another host that answers is told nothing. Several while
   * one takes the other's place.
   */
  readonly hostKey: string | readonly string[];
}

/** Where a replica set's backups and its log go, by pgBackRest; and when. */
export class Backups {
  /** A prefix in a bucket: `s3://bucket/prefix`. */
  static s3(url: string, props: S3BackupProps = {}): Backups {
    return new Backups(props, new S3Store(url, props));
  }

  /**
   * A directory that all members see: a mount of another machine's disk, in which the user postgres may write. Of a set with a single
   * member, a disk of its own would do for mistakes, and not for the loss of the machine.
   */
  static directory(path: string, props: BackupProps = {}): Backups {
    return new Backups(props, new DirectoryStore(checkPath("path", path)));
  }

  /**
   * A directory on another host, reached by SSH: one of your own, by its address or name, or a machine of a platform, which then lets the
   * members in. It has the members' own release of pgBackRest, python3, and an account that may write in the directory and whose
   * `authorized_keys` has the key; nothing else is set there, and nothing from there logs in at the members.
   */
  static ssh(host: string | Machine, path: string, props: SshBackupProps): Backups {
    return new Backups(props, new SshStore(host, checkPath("path", path), props));
  }

  private constructor(
    readonly props: BackupProps,
    private readonly store: BackupStore,
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
    return this.store.place;
  }

  get secrets(): readonly Secret[] {
    const { encryption } = this.props;
    return [...this.store.secrets, ...(encryption ? [encryption] : [])];
  }

  /** What the configuration says of the place. */
  model(
    machine: Machine,
    use: StoreUse,
  ): Pick<PgbackrestModel, "repository" | "cipherPass" | "retainFull" | "processes"> {
    const { encryption, retainFull = 4, processes = 2 } = this.props;
    return {
      repository: this.store.repository(machine, use),
      cipherPass: encryption?.placeholder,
      retainFull,
      processes,
    };
  }

  /** What a member needs besides, to get there. */
  way(use: StoreUse): StoreWay {
    return this.store.way?.(use) ?? { packages: [], directories: [], files: [] };
  }

  /** Lets the members get there, where that is the library's to do; and refuses those who could not. */
  grant(
    set: Construct,
    machines: readonly Machine[],
    access: "read" | "write",
    connections: Connections,
  ): void {
    this.store.grant?.(set, machines, access, connections);
  }
}
