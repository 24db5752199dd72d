import type { Machine } from "../platform/machine";
import { CALENDAR_CHECK, notedAs, scheduled } from "../push/scheduled";
import type { Service, ServiceDescription } from "../push/service";
import type { Backups } from "./backups";
import { CONFIG, PROGRAMS, script } from "./patroni-service";
import { PGBACKREST_CONF, PGBACKREST_PACKAGE, renderPgbackrestConf } from "./pgbackrest-conf";

export const BACKUP_PROGRAM = `${PROGRAMS}/backup`;

/** What each member needs to reach the repository, before its PostgreSQL starts: a new one may have to fetch its first segments there. */
export class RepositoryService implements Service {
  readonly name = "postgres-repository";

  constructor(
    private readonly stanza: string,
    private readonly dataDirectory: string,
    private readonly backups: Backups,
  ) {}

  describe(machine: Machine): ServiceDescription {
    const { backups, dataDirectory, stanza } = this;
    const way = backups.way("repository");
    return {
      ...PGBACKREST_PACKAGE,
      packages: [...PGBACKREST_PACKAGE.packages, ...way.packages],
      directories: [...PGBACKREST_PACKAGE.directories, ...way.directories],
      files: [
        ...way.files,
        {
          path: PGBACKREST_CONF,
          text: renderPgbackrestConf({
            stanza,
            dataDirectory,
            ...backups.model(machine, "repository"),
          }),
          mode: "0640",
          group: "postgres",
          onChange: "none",
        },
        { path: BACKUP_PROGRAM, text: script("backup.sh"), mode: "0755", onChange: "none" },
      ],
      secrets: backups.secrets,
      hooks: { check: script("backup-check.sh") },
      checker: "pgBackRest, which asks the repository",
    };
  }
}

/** The set's place in the repository: there before PostgreSQL is told to archive, or its first segments would hold it up. */
export class ArchiveService implements Service {
  readonly name = "postgres-archive";

  constructor(private readonly backups: Backups) {}

  describe(): ServiceDescription {
    return {
      files: [{ path: `${CONFIG}/archive`, text: `${this.backups.place}\n`, onChange: "none" }],
      hooks: { settle: script("backup-prepare.sh") },
      // the repository's own words come after a minute of its trying
      healthyWithin: 300,
    };
  }
}

/** When backups are made and tried; and the first one, as soon as the archive works. */
export class BackupService implements Service {
  readonly name = "postgres-backup";

  constructor(private readonly backups: Backups) {}

  describe(): ServiceDescription {
    const { full, diff, test } = this.backups.schedules;
    const timer = (name: string, description: string, schedule: string, words: string, attempts = 1) =>
      scheduled({
        unit: `postgres-${name}`,
        description,
        schedule,
        command: `${BACKUP_PROGRAM} ${words}`,
        requisite: "patroni.service",
        attempts,
        more: notedAs("cdktf-ha-postgres"),
      });
    const timers = [
      timer("backup-full", "Full backup, by the member that leads", full, "run full", 4),
      timer("backup-diff", "Differential backup, by the member that leads", diff, "run diff", 4),
      ...(test === undefined
        ? []
        : [timer("restore-test", "The newest backup restored beside a replica, and read", test, "test", 2)]),
    ];
    return {
      files: [
        // another place wants a first backup too
        {
          path: `${CONFIG}/backups`,
          text: `${JSON.stringify({ place: this.backups.place, ...this.backups.schedules })}\n`,
          onChange: "none",
        },
        ...timers.flatMap(({ files }) => files),
      ],
      units: timers.map(({ unit }) => unit),
      hooks: { check: CALENDAR_CHECK, settle: script("backup-verify.sh") },
      checker: "systemd",
      healthyWithin: 300,
    };
  }
}
