import type { Machine } from "../platform/machine";
import type { Service, ServiceDescription } from "../push/service";
import type { Backups } from "./backups";
import { script } from "./patroni-service";
import { PGBACKREST_PACKAGE, RECOVERY_CONF, renderPgbackrestConf } from "./pgbackrest-conf";

/** What a new set begins from instead of nothing: another set as it was, out of its backups, which are only read. */
export interface Recovery {
  readonly from: Backups;
  /** Name of the set whose backups they are. */
  readonly set: string;
  /**
   * The last moment that is to be in it, `2026-11-20 14:03:59+00`: with its zone.
   * @default - the end of the log that was stored
   */
  readonly to?: string;
}

export const MOMENT = /^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(\.\d{1,3})?[+-]\d\d(:?\d\d)?$/;

/** How a new set's first member reaches what it begins from. */
export class RecoveryService implements Service {
  readonly name = "postgres-recovery";

  constructor(
    private readonly recovery: Recovery,
    private readonly dataDirectory: string,
  ) {}

  describe(machine: Machine): ServiceDescription {
    const { from, set } = this.recovery;
    const way = from.way("recovery");
    return {
      ...PGBACKREST_PACKAGE,
      packages: [...PGBACKREST_PACKAGE.packages, ...way.packages],
      directories: [...PGBACKREST_PACKAGE.directories, ...way.directories],
      files: [
        ...way.files,
        {
          path: RECOVERY_CONF,
          text: renderPgbackrestConf({
            stanza: set,
            dataDirectory: this.dataDirectory,
            ...from.model(machine, "recovery"),
          }),
          mode: "0640",
          group: "postgres",
          onChange: "none",
        },
      ],
      secrets: from.secrets,
      hooks: { check: script("recovery-check.sh") },
      checker: "pgBackRest, which asks the repository",
    };
  }
}
