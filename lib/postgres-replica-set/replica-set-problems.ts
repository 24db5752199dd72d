import { asPeer } from "../firewall/connections";
import { checkPort, Port } from "../firewall/port";
import { memoryGiBOf } from "../platform/aws/instance-memory";
import {
  checkCount,
  isToken,
  refuse,
  refuseToken,
  refuseTwice,
  warn,
  warnAtSynth,
  type Problem,
} from "../problem";
import type { Secret } from "../secret/secret";
import { checkSqlName } from "./databases";
import { checkMembers, warnOfMembers } from "./member-problems";
import { checkDurability, checkParameters, mebibytes } from "./parameters";
import { MOMENT } from "./recovery";
import { METRICS_PORT } from "./metrics";
import { POSTGRES_PORT, REST_PORT } from "./patroni-yml";
import { POOLER_PORT } from "./pooler";
import { checkStandby } from "./standby";
import { checkTakeOver } from "./take-over";
import type { PostgresReplicaSet } from "./postgres-replica-set";

/** Values that are wrong on their own, or with the number of members. */
export function checkReplicaSet(set: PostgresReplicaSet): void {
  const { props, machines, synchronous } = set;
  checkScope(set);
  checkShared(set, "memberPassword", props.memberPassword);
  checkCount(set, "maximumLagOnFailover", props.maximumLagOnFailover, 0, 2 ** 50, "bytes");
  checkMetrics(set);
  checkCount(set, "memoryMiB", props.memoryMiB, 128, 2 ** 24, "128 MiB at least");
  checkCount(set, "cloneWithin", props.cloneWithin, 60, 1e7, "a minute at least");
  checkHugePages(set);
  checkLogs(set);
  if (synchronous !== "off" && machines.length === 1) {
    refuse(set, {
      code: "no-standby",
      what: `'synchronous' is "${synchronous}", and the set has one member`,
      allowed:
        "three members: commits wait for one other member, and a second one takes its place when it is gone",
      fix: 'add members, or synchronous: "off"',
    });
  }
  if (synchronous === "strict" && machines.length === 2) {
    refuse(set, {
      code: "no-standby",
      what: `'synchronous' is "strict", and the set has two members`,
      allowed: "three members: with two, either one that goes stops every write",
      fix: 'add a member, or synchronous: "on"',
    });
  }
  checkMembers(set);
  checkStandby(set);
  checkTakeOver(set);
  checkParameters(set, props.parameters ?? {}, machines.length, set.packages.version.major);
  checkDurability(set, props.parameters ?? {}, synchronous !== "off");
  checkArchiving(set);
  checkDatabases(set);
  if (set.tls?.authority) checkShared(set, "tls.authority", set.tls.authority);
  set.tls?.checkNodes(
    set,
    machines.map(({ name }) => name),
  );
}

/** What a server writes to files of its own never comes to the journal. */
function checkLogs(set: PostgresReplicaSet): void {
  const { logCollector, parameters = {} } = set.props;
  if (!logCollector) return;
  const usual: Readonly<Record<string, string>> = { logging_collector: "off", log_destination: "stderr" };
  for (const [name, value] of Object.entries(usual)) {
    const said = parameters[name];
    if (said === undefined || isToken(said) || String(said).toLowerCase() === value) continue;
    if (said === false && value === "off") continue;
    refuse(set, {
      code: "conflicting-setting",
      what: `'logCollector', and 'parameters' has ${name} = ${String(said)}`,
      allowed: `${value}: the collector is given what comes to the journal`,
      fix: "take it out of 'parameters'",
    });
  }
}

function checkHugePages(set: PostgresReplicaSet): void {
  if (!set.hugePages) return;
  const { major } = set.packages.version;
  if (major < 15) {
    refuse(set, {
      code: "conflicting-setting",
      what: `'hugePages' with PostgreSQL ${major}`,
      allowed: "15 and newer, which say themselves how many they need",
      fix: "leave 'hugePages' out, and set vm.nr_hugepages by hand",
    });
  }
  for (const name of ["huge_pages", "huge_page_size"]) {
    const said = set.props.parameters?.[name];
    if (said === undefined || said === "try") continue;
    refuse(set, {
      code: "conflicting-setting",
      what: `'hugePages', and 'parameters' has ${name} = ${String(said)}`,
      allowed:
        "one of them: pages of the kernel's usual size are reserved, and the server starts without them too",
      fix: "take it out of 'parameters'",
    });
  }
}

function checkMetrics(set: PostgresReplicaSet): void {
  const port = set.props.metrics?.port;
  checkPort(set, "metrics.port", port);
  if (port !== POSTGRES_PORT && port !== POOLER_PORT && port !== REST_PORT) return;
  refuse(set, {
    code: "listener-clash",
    what: `'metrics.port' is ${port}`,
    allowed: "a port of its own: PostgreSQL, PgBouncer or Patroni listens there",
    fix: `leave 'port' out for ${METRICS_PORT}`,
  });
}

/** The log goes one way: by 'backups', or by a command of the user's own. */
function checkArchiving(set: PostgresReplicaSet): void {
  const { backups, recovery, parameters = {} } = set.props;
  if (recovery?.to !== undefined && !isToken(recovery.to) && !MOMENT.test(recovery.to)) {
    refuse(set, {
      code: "bad-moment",
      what: `'recovery.to' is '${recovery.to}'`,
      allowed: "YYYY-MM-DD HH:MM:SS+00, with its zone: each machine has its own",
      fix: "to: 2026-11-20 14:03:59+00",
    });
  }
  if (recovery?.set === set.name) {
    refuse(set, {
      code: "same-name",
      what: `the set '${set.name}' begins from the backups of '${recovery.set}'`,
      allowed: "another name than the old set's: its own backups have a place of their own",
      fix: "give the new set a 'name'",
    });
  }
  if (!backups) return;
  for (const secret of backups.secrets) checkShared(set, "backups", secret);
  const own = Object.keys(parameters).find((name) => name.startsWith("archive_"));
  if (own === undefined) return;
  refuse(set, {
    code: "patroni-owns",
    what: `'parameters' has ${own}, and the set has 'backups'`,
    allowed: "one of them: the log goes to the repository",
    fix: "take it out of 'parameters'",
  });
}

function checkScope(set: PostgresReplicaSet): void {
  refuseToken(set, "name", set.name);
  if (/^[A-Za-z0-9][A-Za-z0-9_-]{0,62}$/.test(set.name)) return;
  refuse(set, {
    code: "bad-name",
    what: `replica set '${set.name}'`,
    allowed:
      "letters, digits, dash and underscore, at most 63: a directory of etcd, and what each server calls itself",
    fix: "give it a 'name'",
  });
}

function checkDatabases(set: PostgresReplicaSet): void {
  const { databases = [], roles = [] } = set.props;
  const roleNames = new Set<string>();
  for (const { name, password, connectionLimit } of roles) {
    checkSqlName(set, "role", name);
    refuseTwice(set, "role", roleNames, name);
    roleNames.add(name);
    checkShared(set, `roles.${name}.password`, password);
    checkCount(set, `roles.${name}.connectionLimit`, connectionLimit, 1, 1e6, "one at least");
  }
  const names = new Set<string>();
  for (const { name, owner, extensions = [] } of databases) {
    checkSqlName(set, "database", name);
    refuseTwice(set, "database", names, name);
    names.add(name);
    if (owner !== undefined && !roleNames.has(owner)) {
      refuse(set, {
        code: "unknown-role",
        what: `database '${name}' belongs to '${owner}'`,
        allowed: [...roleNames].join(", ") || "none: the set has no roles",
        fix: `add it to 'roles'`,
      });
    }
    for (const extension of extensions) {
      if (/^[a-z][a-z0-9_-]{0,62}$/.test(extension)) continue;
      refuse(set, {
        code: "bad-name",
        what: `extension '${extension}' of database '${name}'`,
        allowed: "lower case letters, digits, dash and underscore",
        fix: "check the spelling",
      });
    }
  }
  for (const { name, grants = {} } of roles) {
    for (const database of Object.keys(grants)) {
      if (names.has(database)) continue;
      refuse(set, {
        code: "unknown-database",
        what: `role '${name}' has a grant in '${database}'`,
        allowed: [...names].join(", ") || "none: the set has no databases",
        fix: "add it to 'databases'",
      });
    }
  }
}

function checkShared(set: PostgresReplicaSet, name: string, secret: Secret): void {
  if (secret.source.kind !== "generated") return;
  refuse(set, {
    code: "secret-not-shared",
    what: `'${name}' is generated on each machine`,
    allowed: "a value that all members and clients share",
    fix: "Secret.variable(...), Secret.awsSecretsManager(...) or Secret.awsParameter(...)",
  });
}

/** What works, but not as well as its author may think. */
export function warnOfReplicaSet(set: PostgresReplicaSet): void {
  warnOfMembers(set);
  warnAtSynth(set, () => (isFor(set, POSTGRES_PORT) || isFor(set, POOLER_PORT) ? [] : [NOBODY]));
  if (set.machines.length === 1) {
    warn(set, {
      code: "one-member",
      what: "the set has one member: while its machine is away nobody serves, and what is lost with it is lost",
      allowed: "three: one may be away, be it for its restart, and every commit still has its copy",
      fix: "add members, in other zones",
    });
  }
  if (set.machines.length === 2) {
    warn(set, {
      code: "two-members",
      what: "the set has two members: while one is away, the other one has no copy of what it commits",
      allowed: "three: one may be away, be it for its restart, and every commit still has its copy",
      fix: "add a third member, in a third zone",
    });
  }
  if (set.etcd.machines.length === 1 && set.machines.length > 1) {
    warn(set, {
      code: "one-etcd",
      what: "etcd has one member: without it nobody takes over",
      allowed: "three members in three zones",
      fix: "new EtcdCluster(...) on three machines, given as 'etcd'",
    });
  }
}

/** Of a set of several members their own ports are never closed to everybody. */
const NOBODY: Problem = {
  code: "nobody-admitted",
  what: "nobody but the members may connect",
  allowed: "those whom the code names",
  fix: "'clients', primary.allowFrom(...), or a load balancer with one of the endpoints",
};

function isFor({ connections, machines, props }: PostgresReplicaSet, port: number): boolean {
  // a single member's are warned of by its connections; a set that follows is there without any
  if (machines.length === 1 || props.standbyOf) return true;
  const none = new Set([connections, ...(props.standbys ?? []).map(asPeer)]);
  return connections.inbound.some(
    (admission) => !none.has(admission.peer) && admission.port.overlaps(Port.tcp(port)),
  );
}

/** What shows only in the whole: where the type of an instance tells its memory; elsewhere the machine itself refuses. */
export function problemsOfReplicaSet({ props, machines }: PostgresReplicaSet): Problem[] {
  const shared = props.parameters?.shared_buffers;
  const wanted = Math.max(props.memoryMiB ?? 0, shared === undefined ? 0 : (mebibytes(shared) ?? 0));
  // each type once, however many members are of it
  const types = new Map(machines.map(({ name, aws }) => [aws?.instanceType, name]));
  return [...types].flatMap(([type, name]): Problem[] => {
    const memory = type === undefined || isToken(type) ? undefined : memoryGiBOf(type);
    if (memory === undefined || wanted <= memory * 1024 * 0.8) return [];
    return [
      {
        code: "memory-above-machine",
        what: `PostgreSQL is to take ${Math.round(wanted)} MiB at once, member '${name}' is a ${type} with ${memory} GiB`,
        allowed: `at most ${Math.floor(memory * 1024 * 0.8)} MiB: connections, files in memory and the system need the rest`,
        fix: "a larger instanceType, or leave 'shared_buffers' and 'memoryMiB' out",
      },
    ];
  });
}
