/** Where backups are. Plain data; secrets are placeholders. */
export type RepositoryModel =
  | { readonly kind: "directory"; readonly path: string }
  | {
      readonly kind: "ssh";
      readonly path: string;
      readonly host: string;
      readonly user: string;
      /** Takes the place of ssh. */
      readonly program: string;
    }
  | {
      readonly kind: "s3";
      readonly bucket: string;
      readonly path: string;
      readonly region: string;
      readonly host: string;
      readonly port?: number;
      /** Is the bucket a part of the path, and not of the host's name? */
      readonly byPath: boolean;
      readonly caFile?: string;
      /** None for the rights of the instance's profile. */
      readonly key?: { readonly id: string; readonly secret: string };
    };

export interface PgbackrestModel {
  /** pgBackRest's word for one cluster's part of a repository. */
  readonly stanza: string;
  readonly dataDirectory: string;
  readonly repository: RepositoryModel;
  readonly cipherPass?: string;
  readonly retainFull: number;
  readonly processes: number;
}

export const PGBACKREST_CONF = "/etc/pgbackrest/pgbackrest.conf";

/** The package, and where its configuration is: the same for whoever needs it. */
export const PGBACKREST_PACKAGE = {
  packages: [{ name: "pgbackrest" }],
  onPackageChange: "none",
  directories: [
    { path: "/etc/pgbackrest", mode: "0750", group: "postgres" },
    { path: "/var/spool/pgbackrest", mode: "0750", owner: "postgres", group: "postgres" },
  ],
} as const;

/** Another set's part of a repository, which a new set begins from. */
export const RECOVERY_CONF = "/etc/pgbackrest/recovery.conf";

/** Of a command that does not name it `pgbackrest check` thinks nothing. */
export const ARCHIVE_PROGRAM = "/usr/local/lib/cdktf-ha/postgres/pgbackrest-archive";

/** Answers when the segment is stored, not when it is queued: PostgreSQL keeps until then what the store lacks. */
export function archiveCommand(stanza: string): string {
  return `${ARCHIVE_PROGRAM} push ${stanza} "%p"`;
}

/** For a replica that was away longer than its primary kept the log. */
export function restoreCommand(stanza: string): string {
  return `${ARCHIVE_PROGRAM} get ${stanza} %f "%p"`;
}

/** For pgBackRest 2.45 (Debian 12) and later. Pure. */
export function renderPgbackrestConf(model: PgbackrestModel): string {
  const { stanza, dataDirectory, cipherPass, retainFull, processes } = model;
  const lines: Record<string, string | number | undefined> = {
    ...repositoryLines(model.repository),
    "repo1-cipher-type": cipherPass === undefined ? undefined : "aes-256-cbc",
    "repo1-cipher-pass": cipherPass,
    "repo1-retention-full": retainFull,
    // many small files are one object
    "repo1-bundle": "y",
    // a backup begins when it is asked for, not after the next checkpoint
    "start-fast": "y",
    "compress-type": "zst",
    "process-max": processes,
    // PostgreSQL comes back to a segment that it could not store after a minute, and so does a store that was away
    "archive-timeout": 180,
    // segments that wait go together
    "archive-async": "y",
    "spool-path": "/var/spool/pgbackrest",
    // the journal has it
    "log-level-file": "off",
    "log-level-console": "warn",
  };
  return [
    "# Managed by cdktf-ha-clusters.",
    "[global]",
    ...Object.entries(lines).flatMap(([name, value]) => (value === undefined ? [] : [`${name}=${value}`])),
    "",
    `[${stanza}]`,
    `pg1-path=${dataDirectory}`,
    "pg1-socket-path=/var/run/postgresql",
    "",
  ].join("\n");
}

function repositoryLines(repository: RepositoryModel): Record<string, string | number | undefined> {
  if (repository.kind === "directory") return { "repo1-type": "posix", "repo1-path": repository.path };
  if (repository.kind === "ssh") {
    return {
      "repo1-type": "posix",
      "repo1-path": repository.path,
      "repo1-host": repository.host,
      "repo1-host-user": repository.user,
      // what stands in a file over there is another one's
      "repo1-host-config": "/dev/null",
      "cmd-ssh": repository.program,
    };
  }
  const { bucket, path, region, host, port, byPath, caFile, key } = repository;
  return {
    "repo1-type": "s3",
    "repo1-path": path,
    "repo1-s3-bucket": bucket,
    "repo1-s3-region": region,
    "repo1-s3-endpoint": host,
    "repo1-storage-port": port,
    "repo1-s3-uri-style": byPath ? "path" : undefined,
    "repo1-storage-ca-file": caFile,
    "repo1-s3-key-type": key ? undefined : "auto",
    "repo1-s3-key": key?.id,
    "repo1-s3-key-secret": key?.secret,
  };
}
