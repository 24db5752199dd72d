import type { Construct } from "constructs";
import { nearest } from "../input/mistake";
import { isToken, refuse } from "../problem";
import { isKnown, parameterNames, versionsOf } from "./parameter-names";

/** A setting of postgresql.conf: as PostgreSQL writes it, or as a number or a truth. */
export type ParameterValue = string | number | boolean;
export type Parameters = Readonly<Record<string, ParameterValue>>;

/** Who decides a parameter instead of the user. */
const OWNED: Readonly<Record<string, string>> = {
  listen_addresses: "the member's address",
  port: "the set: 5432",
  cluster_name: "the set's name",
  hot_standby: "Patroni: replicas are read from",
  wal_log_hints: "Patroni: pg_rewind needs it",
  config_file: "Patroni",
  hba_file: "'clients' and the connections",
  ident_file: "Patroni",
  data_directory: "the set",
  external_pid_file: "Patroni",
  unix_socket_directories: "the set: its own programs log in there",
  password_encryption: "the set: scram-sha-256",
  primary_conninfo: "Patroni",
  primary_slot_name: "Patroni",
  promote_trigger_file: "Patroni",
  recovery_min_apply_delay: "a member's 'applyDelay'",
  recovery_target_timeline: "Patroni",
  restore_command: "Patroni",
  synchronous_standby_names: "'synchronous'",
};

/** Must be the same on all members, and change in a certain order: Patroni keeps them in etcd. */
const SHARED = [
  "max_connections",
  "max_locks_per_transaction",
  "max_prepared_transactions",
  "max_replication_slots",
  "max_wal_senders",
  "max_worker_processes",
  "track_commit_timestamp",
  "wal_keep_size",
  "wal_level",
];

/** What Patroni itself takes, as its own list of minima says; a smaller value would be ignored in silence. */
const MINIMA: Readonly<Record<string, number>> = {
  max_connections: 25,
  max_locks_per_transaction: 32,
  max_prepared_transactions: 0,
  max_replication_slots: 4,
  max_wal_senders: 3,
  max_worker_processes: 2,
};

/** What the set says itself where the user says nothing. */
const DEFAULTS: Parameters = {
  // a replica that was away for a moment finds what it missed even without its slot
  wal_keep_size: "128MB",
};

/** What each side of the configuration says: etcd for all members, a member's own file for the rest. Pure. */
export function splitParameters(parameters: Parameters): {
  readonly shared: Record<string, ParameterValue>;
  readonly own: Record<string, ParameterValue>;
} {
  const all = Object.entries({ ...DEFAULTS, ...parameters }).sort(([a], [b]) => (a < b ? -1 : 1));
  const pick = (wanted: boolean): Record<string, ParameterValue> =>
    Object.fromEntries(
      all
        .filter(([name]) => SHARED.includes(name) === wanted)
        .map(([name, value]) => [name, typeof value === "boolean" ? (value ? "on" : "off") : value]),
    );
  return { shared: pick(true), own: pick(false) };
}

/** What may not be given up, by what it protects. */
const DURABILITY: Readonly<
  Record<string, { readonly allowed: readonly string[]; readonly because: string }>
> = {
  fsync: {
    allowed: ["on", "true"],
    because: "a machine that loses its power would come back with broken data",
  },
  full_page_writes: {
    allowed: ["on", "true"],
    because: "a machine that loses its power would come back with broken pages",
  },
};
const SYNCHRONOUS_COMMIT = {
  allowed: ["on", "remote_apply"],
  because: "a commit would be acknowledged that no other member has on its disk",
};

/** Parameters that take back what `synchronous` says, or what a replica set is for. */
export function checkDurability(scope: Construct, parameters: Parameters, synchronous: boolean): void {
  const rules = { ...DURABILITY, ...(synchronous ? { synchronous_commit: SYNCHRONOUS_COMMIT } : {}) };
  for (const [name, { allowed, because }] of Object.entries(rules)) {
    const value = parameters[name];
    if (value === undefined || isToken(value) || allowed.includes(String(value).toLowerCase())) continue;
    if (name === "synchronous_commit" && value === true) continue;
    refuse(scope, {
      code: "not-durable",
      what: `${name} is ${String(value)}`,
      allowed: `${allowed.join(" or ")}: ${because}`,
      fix:
        name === "synchronous_commit"
          ? 'leave it out; synchronous: "off", if acknowledged commits may be lost; or set it for a role or a session'
          : "leave it out",
    });
  }
}

export function checkParameters(
  scope: Construct,
  parameters: Parameters,
  members: number,
  major: number,
): void {
  for (const [name, value] of Object.entries(parameters)) {
    if (!/^[a-z_][a-z0-9_]*(\.[a-z_][a-z0-9_]*)?$/.test(name) || name.startsWith("cdktf_ha.")) {
      refuse(scope, {
        code: "bad-name",
        what: `parameter '${name}'`,
        allowed: "lower case letters, digits and underscore, as postgresql.conf has it",
        fix: "check the spelling",
      });
    }
    const owner = name.startsWith("recovery_target") ? "Patroni" : OWNED[name];
    if (owner !== undefined || name === "ssl" || name.startsWith("ssl_")) {
      refuse(scope, {
        code: "patroni-owns",
        what: `'parameters' has ${name}`,
        allowed: `parameters that the set does not decide itself; this one follows from ${owner ?? "'tls'"}`,
        fix: "take it out of 'parameters'",
      });
    }
    if (!isKnown(name, major)) {
      const versions = versionsOf(name);
      const meant = versions === undefined ? nearest(name, parameterNames(major)) : undefined;
      refuse(scope, {
        code: "unknown-parameter",
        what: `parameter '${name}', and the set is PostgreSQL ${major}`,
        allowed: versions === undefined ? "parameters of this version" : `versions that have it: ${versions}`,
        fix: meant === undefined ? "take it out of 'parameters'" : `did you mean '${meant}'?`,
      });
    }
    if (name === "wal_level" && value !== "replica" && value !== "logical") {
      refuse(scope, {
        code: "patroni-owns",
        what: `wal_level is ${String(value)}`,
        allowed: "replica or logical: replicas live on it",
        fix: 'wal_level: "logical", or leave it out',
      });
    }
    const minimum = Object.hasOwn(MINIMA, name) ? MINIMA[name]! : undefined;
    if (minimum !== undefined && !(Number.isInteger(Number(value)) && Number(value) >= minimum)) {
      refuse(scope, {
        code: "number-out-of-range",
        what: `${name} is ${String(value)}`,
        allowed: `a whole number from ${minimum} on: Patroni ignores smaller ones without a word`,
        fix: "raise it, or leave it out",
      });
    }
  }
  for (const [name, atLeast, why] of [
    [
      "max_wal_senders",
      members + 2,
      "a connection for each other member, one more while one is copied, one for a backup",
    ],
    [
      "max_replication_slots",
      members,
      "a slot for each other member, and one for whoever takes part for a while",
    ],
  ] as const) {
    const value = Number(parameters[name] ?? 10);
    if (value >= atLeast) continue;
    refuse(scope, {
      code: "too-few-slots",
      what: `${name} is ${value}, and the set has ${members} members`,
      allowed: `${atLeast} at least: ${why}`,
      fix: `${name}: ${atLeast}`,
    });
  }
}

/** MiB of a size as PostgreSQL writes it; a bare number counts in the parameter's own unit, here blocks of 8 KiB. */
export function mebibytes(value: ParameterValue): number | undefined {
  const parsed = /^\s*(\d+(?:\.\d+)?)\s*(B|kB|MB|GB|TB)?\s*$/.exec(String(value));
  if (!parsed) return undefined;
  const factors: Record<string, number> = { B: 2 ** -20, kB: 2 ** -10, MB: 1, GB: 2 ** 10, TB: 2 ** 20 };
  return Number(parsed[1]) * (parsed[2] === undefined ? 2 ** -7 : factors[parsed[2]]!);
}
