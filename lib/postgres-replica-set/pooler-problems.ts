import type { Construct } from "constructs";
import { checkCount, isToken, refuse } from "../problem";
import {
  LEAST_FREE,
  largestPool,
  maxConnectionsOf,
  poolerModel,
  poolsOf,
  type PoolDemand,
  type PoolerProps,
} from "./pooler";

/** A pooler's own values, and whether what its pools may ask of the primary is there. */
export function checkPooler(set: Construct, props: PoolerProps, demand: PoolDemand): void {
  checkCount(
    set,
    "pooler.maxClientConnections",
    props.maxClientConnections,
    1,
    100_000,
    "one process serves them",
  );
  checkCount(set, "pooler.defaultPoolSize", props.defaultPoolSize, 1, 1e5, "one at least");
  checkCount(
    set,
    "pooler.queryWaitTimeout",
    props.queryWaitTimeout,
    30,
    86_400,
    "seconds; a switchover's own",
  );
  checkNames(set, demand);
  if (!poolsOf(demand)) {
    refuse(set, {
      code: "nobody-pooled",
      what: "'pooler', and no role of the set has a database",
      allowed: "a role that owns a database or has a grant in one: the pooler lets in nobody else",
      fix: "add 'databases' and 'roles', or leave 'pooler' out",
    });
  }
  if (isToken(props.defaultPoolSize) || isToken(demand.maxConnections)) return;
  const { defaultPoolSize } = poolerModel(props, demand);
  const largest = largestPool(demand, LEAST_FREE);
  if (defaultPoolSize >= 1 && defaultPoolSize <= largest) return;
  const { members, databases } = demand;
  const pairs = poolsOf(demand) / members;
  refuse(set, {
    code: "pool-above-connections",
    what: `pools of ${Math.max(1, defaultPoolSize)} connections: ${members} members * ${pairs} (role and database) * ${Math.max(1, defaultPoolSize)} = ${poolsOf(demand) * Math.max(1, defaultPoolSize)}; max_connections is ${maxConnectionsOf(demand)}${limited(demand)}`,
    allowed: `at most ${Math.max(0, largest)} each: ${LEAST_FREE} connections stay free for PostgreSQL's superuser, Patroni and the set's programs${Object.keys(databases).length ? ", and no role gets above its 'connectionLimit'" : ""}`,
    fix:
      largest >= 1 ? `pooler: { defaultPoolSize: ${largest} }, or a larger max_connections` : roomFor(demand),
  });
}

/** What is too small for pools of a single connection. */
function roomFor(demand: PoolDemand): string {
  const needed = poolsOf(demand) * 10 + 20;
  return maxConnectionsOf(demand) < needed && largestPool({ ...demand, connectionLimits: {} }, LEAST_FREE) < 1
    ? `parameters: { max_connections: ${needed} }`
    : `a 'connectionLimit' of ${demand.members} for each of a role's databases at least, or none`;
}

function limited({ connectionLimits }: PoolDemand): string {
  const limits = Object.entries(connectionLimits).filter(([, limit]) => limit !== undefined);
  return limits.length
    ? `, connectionLimit of ${limits.map(([role, limit]) => `${role} ${limit}`).join(", ")}`
    : "";
}

function checkNames(set: Construct, { databases }: PoolDemand): void {
  const all = [...Object.keys(databases), ...Object.values(databases).flat()];
  const taken = all.find((name) => name === "pgbouncer" || name.startsWith("cdktf_ha_"));
  if (taken === undefined) return;
  refuse(set, {
    code: "bad-name",
    what: `'${taken}' of a set with 'pooler'`,
    allowed: "another name than those of PgBouncer's console: pgbouncer, cdktf_ha_...",
    fix: "choose such a name",
  });
}
