import { checkAptSource, keysText, withoutLogin } from "../apt-source";
import { isToken, refuse } from "../problem";
import { PLAIN_PATH } from "../push/bundle";

export interface AptProps {
  /**
   * A mirror of your own, where machines do not reach the internet. Plain http will do: its index is signed. A login for it belongs
   * into /etc/apt/auth.conf.d on the machines.
   * @default "https://debian.cassandra.apache.org" - Apache's own repository
   */
  readonly mirror?: string;
  /**
   * Keys that sign the repository's index, and the only ones that are trusted for it: where they are fetched, by https; or the
   * keys themselves (`-----BEGIN PGP PUBLIC KEY BLOCK----- ...`).
   * @default "https://downloads.apache.org/cassandra/KEYS"
   */
  readonly keys?: string;
  /** What the mirror calls the release line. @default - as Apache's does: "50x" for 5.0 */
  readonly suite?: string;
}

export interface ArchiveProps {
  /** SHA-256 of the archive, 64 hexadecimal digits: what does not have it is not unpacked. */
  readonly sha256: string;
}

/** Keys of the apt repository, where the code has them. */
export const KEYS_FILE = "/etc/cassandra/cdktf-ha/apt-keys.asc";

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
    const { mirror = "https://debian.cassandra.apache.org", suite } = props;
    const { keys = "https://downloads.apache.org/cassandra/KEYS" } = props;
    checkAptSource(
      "CassandraInstallation.apt",
      { mirror, keys, suite },
      "50x, as Apache calls 5.0, unless the mirror has another name for it",
    );
    const text = keysText(keys);
    return new CassandraInstallation(
      "apt",
      checkRelease(release),
      [mirror, text === undefined ? keys : KEYS_FILE],
      suite,
      text,
    );
  }

  /** Apache's binary archive (`apache-cassandra-5.0.6-bin.tar.gz`), by URL, or by its path on the machine. */
  static archive(release: string, source: string, props: ArchiveProps): CassandraInstallation {
    checkSource("CassandraInstallation.archive", "source", source);
    checkSha256("CassandraInstallation.archive", props.sha256);
    return new CassandraInstallation("archive", checkRelease(release), [source, props.sha256]);
  }

  /** A directory that is on the machines already, laid out like the archive: `lib/*.jar`. From an image, for one. */
  static directory(release: string, path: string): CassandraInstallation {
    checkPath("CassandraInstallation.directory", path);
    return new CassandraInstallation("directory", checkRelease(release), [path]);
  }

  private constructor(
    readonly kind: "apt" | "archive" | "directory",
    /** `5.0.6` */
    readonly release: string,
    readonly source: readonly string[],
    /** The apt repository's name of the release line, where it is not Apache's. */
    readonly suite?: string,
    /** Text of {@link KEYS_FILE}. */
    readonly keys?: string,
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

/** Of a file that comes with its checksum: a path on the machine, or a URL. */
export function checkSource(scope: string, name: string, source: string): void {
  if (isToken(source)) return;
  if (source.startsWith("/")) {
    checkPath(scope, source);
    return;
  }
  if (
    /^https:\/\/[^\s'"@]+$/.test(source) ||
    /^http:\/\/(localhost|[\d.]+)(:\d+)?(\/[^\s'"]*)?$/.test(source)
  ) {
    return;
  }
  refuse(scope, {
    code: "bad-address",
    what: `'${name}' is '${withoutLogin(source)}'`,
    allowed:
      "an https URL, or http of an address of your own network; without a login, which every machine's users could read",
    fix: "check the spelling; what needs a login is put on the machines first and named by its path",
  });
}

export function checkSha256(scope: string, sha256: string): void {
  if (isToken(sha256) || /^[0-9a-f]{64}$/.test(sha256)) return;
  refuse(scope, {
    code: "checksum-needed",
    what: `'sha256' is '${sha256}'`,
    allowed: "64 hexadecimal digits: what nobody checked is not run",
    fix: "sha256sum of the file, compared with its project's own",
  });
}

export function checkPath(scope: string, path: string): void {
  if (isToken(path) || PLAIN_PATH.test(path)) return;
  refuse(scope, {
    code: "bad-path",
    what: `'${path}'`,
    allowed: "an absolute path on the machine, of letters, digits and @%+=:,._-",
    fix: "choose such a path",
  });
}
