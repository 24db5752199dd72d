import type { Machine } from "../platform/machine";
import type { Secret } from "../secret/secret";
import type { Service, ServiceDescription, ServiceFile } from "../push/service";
import { PROGRAMS, script } from "./patroni-service";
import {
  POOLER_CONFIG,
  renderPgbouncerIni,
  renderPoolerHba,
  renderPoolerUnits,
  type PoolerHbaModel,
} from "./pgbouncer-ini";
import type { PoolerModel } from "./pooler";

/** What the pooler asks of its set, at synth. */
export interface PoolerSource {
  readonly model: PoolerModel;
  /** Where it listens besides the member's own address. */
  readonly furtherAddresses: (machine: Machine) => readonly string[];
  readonly hba: PoolerHbaModel;
  /** Of the roles that have a database. */
  readonly passwords: Readonly<Record<string, Secret>>;
}

export const POOLER_PROGRAM = `${PROGRAMS}/pooler`;

/** PgBouncer on a member, and the program that keeps it at the member that leads. */
export class PoolerService implements Service {
  readonly name = "postgres-pooler";

  /** @param source asked at synth, when everybody has been let in */
  constructor(private readonly source: () => PoolerSource) {}

  describe(machine: Machine): ServiceDescription {
    const { model, furtherAddresses, hba, passwords } = this.source();
    const further = furtherAddresses(machine);
    const { pooler, follower } = renderPoolerUnits(POOLER_PROGRAM, model, further);
    const readable = { mode: "0640", group: "pgbouncer" };
    const databases = [...new Set(Object.values(hba.databases).flat())].sort();
    return {
      packages: [{ name: "pgbouncer" }],
      users: [{ name: "pgbouncer" }],
      directories: [{ path: POOLER_CONFIG, mode: "0750", group: "pgbouncer" }],
      files: [
        {
          path: `${POOLER_CONFIG}/pgbouncer.ini`,
          text: renderPgbouncerIni({
            ...model,
            addresses: [machine.privateAddress, ...further],
            tls: hba.tls,
          }),
          ...readable,
        },
        { path: `${POOLER_CONFIG}/hba.conf`, text: renderPoolerHba(hba), ...readable },
        {
          path: `${POOLER_CONFIG}/pooler.json`,
          text: `${JSON.stringify({ databases, roles: Object.keys(passwords).sort() })}\n`,
        },
        ...Object.entries(passwords).map(([role, secret]): ServiceFile => ({
          path: `${POOLER_CONFIG}/password-${role}`,
          text: secret.placeholder,
          mode: "0600",
        })),
        { path: POOLER_PROGRAM, text: script("pooler.sh"), mode: "0755", onChange: "none" },
        { path: "/etc/systemd/system/pgbouncer.service", text: pooler, onChange: "restart" },
        { path: "/etc/systemd/system/pgbouncer-follow.service", text: follower, onChange: "restart" },
      ],
      secrets: [...new Set(Object.values(passwords))],
      units: ["pgbouncer.service", "pgbouncer-follow.service"],
      hooks: { healthy: script("pooler-healthy.sh"), leave: script("pooler-leave.sh") },
    };
  }
}
