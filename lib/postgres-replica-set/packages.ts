import { join } from "node:path";
import { checkAptSource, keysText, type AptSource } from "../apt-source";
import type { Service, ServiceDescription, ServicePackage } from "../push/service";
import { scriptText, shellQuoted } from "../script-text";

/** A major version of PostgreSQL. */
export class PostgresVersion {
  static readonly V14 = new PostgresVersion(14);
  static readonly V15 = new PostgresVersion(15);
  static readonly V16 = new PostgresVersion(16);
  static readonly V17 = new PostgresVersion(17);
  static readonly V18 = new PostgresVersion(18);

  private constructor(readonly major: number) {}
}

export interface PgdgProps {
  /**
   * A mirror of your own, where machines do not reach the internet. Plain http will do: its index is signed. A login for it belongs
   * into /etc/apt/auth.conf.d on the machines.
   * @default "https://apt.postgresql.org/pub/repos/apt" - the PostgreSQL project's own repository
   */
  readonly mirror?: string;
  /**
   * Keys that sign the repository's index, and the only ones that are trusted for it: where they are fetched, by https; or the
   * keys themselves (`-----BEGIN PGP PUBLIC KEY BLOCK----- ...`).
   * @default "https://www.postgresql.org/media/keys/ACCC4CF8.asc"
   */
  readonly keys?: string;
  /** @default "bookworm-pgdg" - for Debian 12 */
  readonly suite?: string;
}

/** Which PostgreSQL and which Patroni the members run, and where they come from. One choice for the life of the data. */
export class PostgresPackages {
  /** Debian 12's own: PostgreSQL 15 and Patroni 3.0.2, mended for as long as Debian 12 is. */
  static debian12(): PostgresPackages {
    return new PostgresPackages(PostgresVersion.V15, 3);
  }

  /** The PostgreSQL project's repository for Debian and Ubuntu (PGDG): the version that is asked for, and Patroni 4. */
  static pgdg(version: PostgresVersion, props: PgdgProps = {}): PostgresPackages {
    const {
      mirror = "https://apt.postgresql.org/pub/repos/apt",
      keys = "https://www.postgresql.org/media/keys/ACCC4CF8.asc",
      suite = "bookworm-pgdg",
    } = props;
    const source = { mirror, keys, suite };
    checkAptSource("PostgresPackages.pgdg", source, "bookworm-pgdg, as PGDG calls Debian 12");
    return new PostgresPackages(version, 4, source);
  }

  private constructor(
    readonly version: PostgresVersion,
    /** First number of Patroni's version: what its configuration may say. */
    readonly patroni: 3 | 4,
    readonly source?: Required<AptSource>,
  ) {}

  get dataDirectory(): string {
    return `${DATA_ROOT}/${this.version.major}/cdktf-ha`;
  }

  get binDirectory(): string {
    return `/usr/lib/postgresql/${this.version.major}/bin`;
  }

  /** A Patroni of another line that is there already is not taken for the right one. */
  get packages(): readonly ServicePackage[] {
    return [
      { name: `postgresql-${this.version.major}` },
      { name: "patroni", ...(this.source && { version: `${this.patroni}.*` }) },
      { name: "python3-etcd" },
      { name: "python3-psycopg2" },
    ];
  }
}

/** What outlives an instance with its volume. */
export const DATA_ROOT = "/var/lib/postgresql";

const KEYRING = "/etc/apt/keyrings/cdktf-ha-postgres.asc";

/** Where apt finds them: before anything is installed. A repository that leaves the code leaves the machine, and its packages stay. */
export class PackageSourceService implements Service {
  readonly name = "postgres-packages";

  constructor(
    private readonly packages: PostgresPackages,
    private readonly source: Required<AptSource>,
  ) {}

  describe(): ServiceDescription {
    const { keys, mirror, suite } = this.source;
    const text = keysText(keys);
    return {
      packages: [
        { name: "ca-certificates" },
        ...(text === undefined ? [{ name: "curl", unlessCommand: "curl" }] : []),
      ],
      onPackageChange: "none",
      directories: [{ path: "/etc/apt/keyrings" }],
      files: [
        {
          path: "/etc/apt/sources.list.d/cdktf-ha-postgres.sources",
          text: `# Managed by cdktf-ha-clusters.\nTypes: deb\nURIs: ${mirror}\nSuites: ${suite}\nComponents: main\nSigned-By: ${KEYRING}\n`,
        },
        ...(text === undefined ? [] : [{ path: KEYRING, text }]),
      ],
      hooks: {
        activate: [
          `PACKAGE=postgresql-${this.packages.version.major} PATRONI=${this.packages.patroni}`,
          `KEYS=${text === undefined ? shellQuoted(keys) : ""} KEYRING=${KEYRING}`,
          scriptText(join(__dirname, "on-machine/packages.sh")),
        ].join("\n"),
      },
    };
  }
}
