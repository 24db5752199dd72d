import { join } from "node:path";
import type { Machine } from "../platform/machine";
import type { Secret } from "../secret/secret";
import type { Service, ServiceDescription, ServiceFile } from "../push/service";
import { scriptText } from "../script-text";
import { CertificateService } from "../tls/certificate-service";
import {
  renderAccessYml,
  renderDynamic,
  renderPatroniYml,
  type AccessModel,
  type DynamicModel,
} from "./patroni-yml";
import { NONLOCAL_BIND } from "../keepalived/keepalived";
import type { LeaderAddress } from "./leader-address";
import { tagsOf, type MemberRole } from "./members";
import type { ParameterValue } from "./parameters";
import { DATA_ROOT, type PostgresPackages } from "./packages";
import { ARCHIVE_PROGRAM } from "./pgbackrest-conf";
import type { PoolerModel } from "./pooler";
import type { Recovery } from "./recovery";
import { renderPatroniUnit } from "./systemd-unit";
import type { TakeOver } from "./take-over";
import type { PostgresTls } from "./tls";

/** What the services ask of the set they belong to, at synth. */
export interface MemberSource {
  readonly name: string;
  readonly packages: PostgresPackages;
  readonly machines: readonly Machine[];
  readonly memberPassword: Secret;
  readonly locale: string;
  readonly watchdog: "off" | "automatic" | "required";
  readonly tls?: PostgresTls;
  /** Where etcd speaks TLS: whom the set trusts there, and its certificate or the authority that issues one. */
  readonly etcdTls?: EtcdAccess;
  readonly memoryMiB?: number;
  readonly hugePages: boolean;
  readonly overcommit: Overcommit;
  readonly cloneWithin: number;
  /** In front of each member. */
  readonly pooler?: PoolerModel;
  readonly dynamic: DynamicModel;
  readonly ownParameters: Readonly<Record<string, ParameterValue>>;
  /** What the set begins from. */
  readonly recovery?: Recovery;
  readonly takeOver?: TakeOver;
  /** Moves with whoever leads. */
  readonly leaderAddress?: LeaderAddress;
  access(machine: Machine): AccessModel;
  role(name: string): MemberRole;
}

/** How much memory the kernel promises; "untouched": as the machine has it. */
export type Overcommit = "untouched" | "heuristic" | "strict";
const OVERCOMMIT: Readonly<Record<Overcommit, Readonly<Record<string, number>>>> = {
  untouched: {},
  heuristic: { "vm.overcommit_memory": 0 },
  // the ratio first: the kernel's own is half of the memory
  strict: { "vm.overcommit_ratio": 90, "vm.overcommit_memory": 2 },
};

export interface EtcdAccess {
  readonly trust: string;
  /** The set's own, in its name; else the authority is the members' own, who issue themselves one. */
  readonly certificate?: Secret;
}

export const CONFIG = "/etc/patroni/cdktf-ha";
const TLS = `${CONFIG}/tls`;
/** Whom the members trust. */
export const TRUSTED = `${TLS}/trusted.pem`;
/** The member's own certificate, the chain above it and its key: given as it is, or issued there. */
export const CERTIFICATE = `${TLS}/member.pem`;
/** The set's certificate for etcd: in the set's name. */
export const ETCD_CERTIFICATE = `${TLS}/etcd.pem`;
export const ETCD_TRUSTED = `${TLS}/etcd-trusted.pem`;
const FACTS = `${CONFIG}/facts.json`;
export const PROGRAMS = "/usr/local/lib/cdktf-ha/postgres";
/**
 * Who is let in and by which password, where etcd is, who the other members are: in every member before any of them changes otherwise, so that a
 * member that is new can ask the others, whichever of them leads. Nobody restarts for it.
 */
export class AccessService implements Service {
  readonly name = "postgres-access";

  constructor(private readonly source: MemberSource) {}

  describe(machine: Machine): ServiceDescription {
    const { source } = this;
    const { tls, etcdTls } = source;
    const encrypted = tls !== undefined || etcdTls !== undefined;
    return {
      packages: [
        ...source.packages.packages,
        ...(encrypted ? [{ name: "openssl", unlessCommand: "openssl" }] : []),
      ],
      // a new PostgreSQL is used at the next restart
      onPackageChange: "none",
      directories: [CONFIG, ...(encrypted ? [TLS] : [])].map((path) => ({
        path,
        mode: "0750",
        group: "postgres",
      })),
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
              dataDirectory: source.packages.dataDirectory,
              binDirectory: source.packages.binDirectory,
              version: source.packages.version.major,
              ...(source.takeOver?.member === machine.name && {
                takeOver: source.takeOver.cluster ?? "main",
              }),
              memoryMiB: source.memoryMiB ?? 0,
              hugePages: source.hugePages,
              overcommit: source.overcommit,
              cloneWithin: source.cloneWithin,
              loopWait: source.dynamic.timers.loopWait,
              archives: source.dynamic.archive !== undefined,
              ...(source.pooler && {
                pooler: {
                  pauses: source.pooler.poolMode === "transaction",
                  certificates: tls?.clientCertificates ?? false,
                },
              }),
              ...(etcdTls && {
                etcd: {
                  certificate: ETCD_CERTIFICATE,
                  trusted: ETCD_TRUSTED,
                  ...(etcdTls.certificate ? {} : { authority: `${TLS}/authority.pem` }),
                },
              }),
              ...(tls && {
                tls: {
                  certificate: CERTIFICATE,
                  trusted: TRUSTED,
                  rest: tls.rest,
                  memberAuthentication: tls.memberAuthentication,
                  ...(tls.authority && {
                    authority: `${TLS}/authority.pem`,
                    alternatives: tls.alternatives(
                      machine.privateAddress,
                      ...(source.leaderAddress ? [source.leaderAddress.address] : []),
                    ),
                  }),
                },
              }),
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
        // before anybody is told to use it
        { path: ARCHIVE_PROGRAM, text: script("archive.sh"), mode: "0755", onChange: "none" },
        program("member.py"),
        program("node.py"),
        program("pooler.py"),
        program("render.py"),
        program("certificates.py"),
        program("huge_pages.py"),
        program("schema.py"),
        program("switchover.py"),
        program("takeover.py"),
        { path: `${PROGRAMS}/member`, text: script("member.sh"), mode: "0755", onChange: "none" },
        { path: `${PROGRAMS}/move-in`, text: script("move-in.sh"), mode: "0755", onChange: "none" },
        ...(tls ? [tls.trustFile(TLS), ...tls.memberFiles(TLS, machine.name, "postgres", PROGRAMS)] : []),
        ...(etcdTls ? etcdFiles(etcdTls) : []),
      ],
      secrets: [
        source.memberPassword,
        ...(tls ? [tls.secretOf(machine.name)] : []),
        ...(etcdTls?.certificate ? [etcdTls.certificate] : []),
      ],
      hooks: {
        check: script("access-check.sh"),
        activate: script("access.sh"),
      },
      checker: "the member itself",
    };
  }
}

/** Read anew with each connection. */
function etcdFiles({ trust, certificate }: EtcdAccess): ServiceFile[] {
  return [
    { path: ETCD_TRUSTED, text: trust },
    ...(certificate
      ? [{ path: ETCD_CERTIFICATE, text: certificate.placeholder, mode: "0640", group: "postgres" }]
      : []),
  ];
}

/** PostgreSQL and the Patroni that leads it. */
export class PatroniService implements Service {
  readonly name = "postgres";
  readonly handsOver = true;

  constructor(private readonly source: MemberSource) {}

  describe(machine: Machine): ServiceDescription {
    const { source } = this;
    const role = source.role(machine.name);
    return {
      files: [
        {
          path: `${CONFIG}/50-member.yml`,
          text: renderPatroniYml({
            scope: source.name,
            name: machine.name,
            address: machine.privateAddress,
            furtherAddresses: source.leaderAddress?.on(machine) ?? [],
            dataDirectory: source.packages.dataDirectory,
            binDirectory: source.packages.binDirectory,
            locale: source.locale,
            watchdog: source.watchdog,
            dynamic: source.dynamic,
            recovery: source.recovery && {
              set: source.recovery.set,
              to: source.recovery.to,
              program: `${PROGRAMS}/backup.py`,
            },
            parameters: source.ownParameters,
            tags: tagsOf(role),
            applyDelay: role.applyDelay,
          }),
          mode: "0640",
          group: "postgres",
        },
        {
          path: "/etc/systemd/system/patroni.service",
          text: renderPatroniUnit({
            configDirectory: CONFIG,
            program: `${PROGRAMS}/member`,
            dataRoot: DATA_ROOT,
            patroni: source.packages.patroni,
            watchdog: source.watchdog !== "off",
            hugePages: source.hugePages,
            etcdTls: source.etcdTls !== undefined,
          }),
          onChange: "restart",
        },
      ],
      sysctls: {
        "vm.swappiness": 1,
        // what is not on the disk yet is written early: a checkpoint does not wait for minutes
        "vm.dirty_background_bytes": 67108864,
        "vm.dirty_bytes": 536870912,
        ...OVERCOMMIT[source.overcommit],
        // a firewall forgets a silent connection
        "net.ipv4.tcp_keepalive_time": 60,
        "net.ipv4.tcp_keepalive_intvl": 10,
        "net.ipv4.tcp_keepalive_probes": 3,
        // who does not lead listens on the leader's address already
        ...(source.leaderAddress && NONLOCAL_BIND),
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

/** A member that issues itself its certificate does so again before it ends. */
export function postgresCertificateService(): CertificateService {
  return new CertificateService({
    name: "postgres-certificate",
    of: "this member of PostgreSQL",
    when: "After=patroni.service\nRequisite=patroni.service\n",
    command: `${PROGRAMS}/member certificate`,
    identifier: "cdktf-ha-postgres",
  });
}

export function passwordFile(role: string): string {
  return `${CONFIG}/role-${role}`;
}

function program(file: string): ServiceFile {
  return { path: `${PROGRAMS}/${file}`, text: script(file), onChange: "none" };
}

export function script(file: string): string {
  return scriptText(join(__dirname, "on-machine", file));
}
