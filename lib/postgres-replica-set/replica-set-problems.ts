import { memoryGiBOf } from "../platform/aws/instance-memory";
import { checkCount, isToken, refuse, refuseToken, refuseTwice, warn, type Problem } from "../problem";
import type { Secret } from "../secret/secret";
import { refuseDataVolumes } from "../platform/data-volume-refusal";
import { checkSqlName } from "./databases";
import { checkDurability, checkParameters, mebibytes } from "./parameters";
import type { PostgresReplicaSet } from "./postgres-replica-set";

/** Values that are wrong on their own, or with the number of members. */
export function checkReplicaSet(set: PostgresReplicaSet): void {
  const { props, machines, synchronous } = set;
  checkScope(set);
  checkShared(set, "memberPassword", props.memberPassword);
  checkCount(set, "maximumLagOnFailover", props.maximumLagOnFailover, 0, 2 ** 50, "bytes");
  checkCount(set, "memoryMiB", props.memoryMiB, 128, 2 ** 24, "128 MiB at least");
  checkCount(set, "cloneWithin", props.cloneWithin, 60, 1e7, "a minute at least");
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
  checkParameters(set, props.parameters ?? {}, machines.length);
  checkDurability(set, props.parameters ?? {}, synchronous !== "off");
  refuseDataVolumes(set, machines);
  checkDatabases(set);
  if (set.tls?.authority) checkShared(set, "tls.authority", set.tls.authority);
  set.tls?.checkNodes(
    set,
    machines.map(({ name }) => name),
  );
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

/** What shows only in the whole: where the type of an instance tells its memory; elsewhere the machine itself refuses. */
export function problemsOfReplicaSet({ props, machines }: PostgresReplicaSet): Problem[] {
  const shared = props.parameters?.shared_buffers;
  const wanted = Math.max(props.memoryMiB ?? 0, shared === undefined ? 0 : (mebibytes(shared) ?? 0));
  return machines.flatMap(({ name, aws }): Problem[] => {
    const type = aws?.instanceType;
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
