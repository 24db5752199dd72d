import { join } from "node:path";
import type { Machine } from "../platform/machine";
import type { Secret } from "../secret/secret";
import type { Service, ServiceDescription, ServiceFile, ServicePackage } from "../push/service";
import { scriptText } from "../script-text";
import {
  renderAccessYml,
  renderDynamic,
  renderPatroniYml,
  type AccessModel,
  type DynamicModel,
} from "./patroni-yml";
import type { ParameterValue } from "./parameters";
import { RECOVERY_CONF, renderPgbackrestConf } from "./pgbackrest-conf";
import type { Recovery } from "./recovery";
import { renderPatroniUnit } from "./systemd-unit";

/** What the services ask of the set they belong to, at synth. */
export interface MemberSource {
  readonly name: string;
  readonly machines: readonly Machine[];
  readonly memberPassword: Secret;
  readonly locale: string;
  readonly watchdog: "off" | "automatic" | "required";
  readonly memoryMiB?: number;
  readonly cloneWithin: number;
  readonly dynamic: DynamicModel;
  readonly ownParameters: Readonly<Record<string, ParameterValue>>;
  /** What the set begins from. */
  readonly recovery?: Recovery;
  access(machine: Machine): AccessModel;
}

export const CONFIG = "/etc/patroni/cdktf-ha";
const FACTS = `${CONFIG}/facts.json`;
export const PROGRAMS = "/usr/local/lib/cdktf-ha/postgres";
export const VERSION = 15;
export const DATA_DIRECTORY = `/var/lib/postgresql/${VERSION}/cdktf-ha`;
const BIN_DIRECTORY = `/usr/lib/postgresql/${VERSION}/bin`;

const PACKAGES: readonly ServicePackage[] = [
  { name: `postgresql-${VERSION}` },
  { name: "patroni" },
  { name: "python3-etcd" },
  { name: "python3-psycopg2" },
];

export const PGBACKREST: ServicePackage = { name: "pgbackrest" };
export const PGBACKREST_DIRECTORY = { path: "/etc/pgbackrest", mode: "0750", group: "postgres" };

/**
 * Who is let in and by which password, where etcd is, who the other members are: in every member before any of them changes otherwise, so that a
 * member that is new can ask the others, whichever of them leads. Nobody restarts for it.
 */
export class AccessService implements Service {
  readonly name = "postgres-access";

  constructor(private readonly source: MemberSource) {}

  describe(machine: Machine): ServiceDescription {
    const { source } = this;
    const { recovery } = source;
    return {
      packages: recovery ? [...PACKAGES, PGBACKREST] : PACKAGES,
      // a new PostgreSQL is used at the next restart
      onPackageChange: "none",
      directories: [
        { path: CONFIG, mode: "0750", group: "postgres" },
        ...(recovery ? [PGBACKREST_DIRECTORY] : []),
      ],
      files: [
        {
          path: `${CONFIG}/20-access.yml`,
          text: renderAccessYml(source.access(machine)),
          mode: "0640",
          group: "postgres",
        },
        {
          path: FACTS,
          text: `${JSON.stringify(
            {
              scope: source.name,
              name: machine.name,
              address: machine.privateAddress,
              members: Object.fromEntries(
                source.machines.map(({ name, privateAddress }) => [name, privateAddress]),
              ),
              dataDirectory: DATA_DIRECTORY,
              binDirectory: BIN_DIRECTORY,
              memoryMiB: source.memoryMiB ?? 0,
              cloneWithin: source.cloneWithin,
              loopWait: source.dynamic.timers.loopWait,
            },
            undefined,
            2,
          )}\n`,
          mode: "0640",
          group: "postgres",
          onChange: "none",
        },
        { path: `${CONFIG}/member-password`, text: source.memberPassword.placeholder, mode: "0600" },
        program("backup.py"),
        program("member.py"),
        program("node.py"),
        program("render.py"),
        program("schema.py"),
        { path: `${PROGRAMS}/member`, text: script("member.sh"), mode: "0755", onChange: "none" },
        ...(recovery
          ? [
              {
                path: RECOVERY_CONF,
                text: renderPgbackrestConf({
                  stanza: recovery.set,
                  dataDirectory: DATA_DIRECTORY,
                  ...recovery.from.model(machine),
                }),
                mode: "0640",
                group: "postgres",
                onChange: "none" as const,
              },
            ]
          : []),
      ],
      secrets: [source.memberPassword, ...(recovery?.from.secrets ?? [])],
      hooks: {
        ...(recovery ? { check: script("recovery-check.sh") } : {}),
        activate: script("access.sh"),
      },
      checker: "pgBackRest, which asks the repository",
    };
  }
}

/** PostgreSQL and the Patroni that leads it. */
export class PatroniService implements Service {
  readonly name = "postgres";
  readonly handsOver = true;

  constructor(private readonly source: MemberSource) {}

  describe(machine: Machine): ServiceDescription {
    const { source } = this;
    return {
      files: [
        {
          path: `${CONFIG}/50-member.yml`,
          text: renderPatroniYml({
            scope: source.name,
            name: machine.name,
            address: machine.privateAddress,
            dataDirectory: DATA_DIRECTORY,
            binDirectory: BIN_DIRECTORY,
            locale: source.locale,
            watchdog: source.watchdog,
            dynamic: source.dynamic,
            recovery: source.recovery && {
              set: source.recovery.set,
              to: source.recovery.to,
              program: `${PROGRAMS}/backup.py`,
            },
            parameters: source.ownParameters,
          }),
          mode: "0640",
          group: "postgres",
        },
        {
          path: "/etc/systemd/system/patroni.service",
          text: renderPatroniUnit({
            configDirectory: CONFIG,
            program: `${PROGRAMS}/member`,
            watchdog: source.watchdog !== "off",
          }),
          onChange: "restart",
        },
      ],
      sysctls: {
        "vm.swappiness": 1,
        // what is not on the disk yet is written early: a checkpoint does not wait for minutes
        "vm.dirty_background_bytes": 67108864,
        "vm.dirty_bytes": 536870912,
        // a firewall forgets a silent connection
        "net.ipv4.tcp_keepalive_time": 60,
        "net.ipv4.tcp_keepalive_intvl": 10,
        "net.ipv4.tcp_keepalive_probes": 3,
      },
      units: ["patroni.service"],
      hooks: {
        check: script("check.sh"),
        active: script("active.sh"),
        activate: script("activate.sh"),
        healthy: script("healthy.sh"),
        leave: script("leave.sh"),
      },
      checker: "Patroni's and PostgreSQL's own parsers",
      // the start itself is waited for by the activation; what is left is replication
      healthyWithin: 120,
    };
  }
}

/** The settings that etcd holds for all, told to Patroni by way of one member when all members are there. */
export class SettingsService implements Service {
  readonly name = "postgres-settings";

  constructor(private readonly source: MemberSource) {}

  describe(): ServiceDescription {
    return {
      files: [
        { path: `${CONFIG}/settings.json`, text: renderDynamic(this.source.dynamic) },
        program("settings.py"),
      ],
      hooks: { check: script("settings-check.sh"), settle: script("settings.sh") },
      checker: "PostgreSQL's own parser",
    };
  }
}

export function passwordFile(role: string): string {
  return `${CONFIG}/role-${role}`;
}

export function program(file: string): ServiceFile {
  return { path: `${PROGRAMS}/${file}`, text: script(file), onChange: "none" };
}

export function script(file: string): string {
  return scriptText(join(__dirname, "on-machine", file));
}
