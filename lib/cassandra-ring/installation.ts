import { refuse } from "../problem";
import { PLAIN_PATH } from "../push/bundle";

export interface AptProps {
  /** @default "https://debian.cassandra.apache.org" - Apache's own repository */
  readonly mirror?: string;
  /** Where its signing keys are fetched. @default "https://downloads.apache.org/cassandra/KEYS" */
  readonly keys?: string;
}

export interface ArchiveProps {
  /** SHA-256 of the archive, 64 hexadecimal digits: what does not have it is not unpacked. */
  readonly sha256: string;
}

/**
 * Where a machine's Cassandra comes from. Each release lies in a directory of its own, so that a rolling upgrade can go
 * back without a download, and no package stops a running node behind the rollout's back.
 */
export class CassandraInstallation {
  /**
   * A release from Apache's apt repository, checked by apt against its signed index. The package is unpacked beside other
   * releases and not installed: its maintainer scripts would stop and start the node by themselves.
   */
  static apt(release: string, props: AptProps = {}): CassandraInstallation {
    return new CassandraInstallation("apt", checkRelease(release), [
      checkUrl("mirror", props.mirror ?? "https://debian.cassandra.apache.org"),
      checkUrl("keys", props.keys ?? "https://downloads.apache.org/cassandra/KEYS"),
    ]);
  }

  /** Apache's binary archive (`apache-cassandra-5.0.6-bin.tar.gz`), by URL, or by its path on the machine. */
  static archive(release: string, source: string, props: ArchiveProps): CassandraInstallation {
    if (!source.startsWith("/")) checkUrl("source", source);
    if (!/^[0-9a-f]{64}$/.test(props.sha256)) {
      refuse("CassandraInstallation.archive", {
        code: "checksum-needed",
        what: `'sha256' is '${props.sha256}'`,
        allowed: "64 hexadecimal digits: an archive that nobody checked is not run",
        fix: "sha256sum of the archive, compared with the project's own",
      });
    }
    return new CassandraInstallation("archive", checkRelease(release), [checkPath(source), props.sha256]);
  }

  /** A directory that is on the machines already, laid out like the archive: `lib/*.jar`. From an image, for one. */
  static directory(release: string, path: string): CassandraInstallation {
    return new CassandraInstallation("directory", checkRelease(release), [checkPath(path)]);
  }

  private constructor(
    readonly kind: "apt" | "archive" | "directory",
    /** `5.0.6` */
    readonly release: string,
    readonly source: readonly string[],
  ) {}

  /** Directory on the machine that has `lib/`. */
  get home(): string {
    return this.kind === "directory" ? this.source[0]! : `/opt/cassandra/${this.release}`;
  }
}

function checkRelease(release: string): string {
  if (/^\d+\.\d+\.\d+(-[a-z0-9.]+)?$/.test(release)) return release;
  return refuse("CassandraInstallation", {
    code: "bad-name",
    what: `release '${release}'`,
    allowed: "a full release number: every node has to run the same one",
    fix: "write it like 5.0.6",
  });
}

function checkUrl(name: string, url: string): string {
  if (/^https:\/\/[^\s'"]+$/.test(url) || /^http:\/\/(localhost|[\d.]+)(:\d+)?(\/[^\s'"]*)?$/.test(url))
    return url;
  return refuse("CassandraInstallation", {
    code: "bad-address",
    what: `'${name}' is '${url}'`,
    allowed: "an https URL, or http of an address of your own network",
    fix: "check the spelling",
  });
}

function checkPath(path: string): string {
  if (path.startsWith("http") || PLAIN_PATH.test(path)) return path;
  return refuse("CassandraInstallation", {
    code: "bad-path",
    what: `'${path}'`,
    allowed: "an absolute path on the machine, of letters, digits and @%+=:,._-",
    fix: "choose such a path",
  });
}
