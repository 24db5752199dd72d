import type { ParameterValue } from "./parameters";

export interface PoolerProps {
  /**
   * For how long a client has a connection to PostgreSQL: for a transaction, or until it goes. Within "transaction" nothing that a session keeps
   * works (`SET`, `LISTEN`, advisory locks of a session, temporary tables, statements prepared by the protocol); "session" saves only the
   * making of connections, and what moves the primary ends them.
   * @default "transaction" - few connections serve many clients, and between two transactions the primary may move
   */
  readonly poolMode?: "transaction" | "session";
  /** Clients that each member's pooler takes at a time; further ones are refused. @default 1000 - about 10 MB of memory */
  readonly maxClientConnections?: number;
  /**
   * Connections to the primary that each member's pooler keeps for a role in a database; clients that find all of them busy wait.
   * @default - what `max_connections` less 20 leaves for each, 20 at most
   */
  readonly defaultPoolSize?: number;
  /** Seconds that a client waits for its turn until it is refused. @default 120 - longer than it takes until another primary is there */
  readonly queryWaitTimeout?: number;
}

export const POOLER_PORT = 6432;

/** What one pooler is, on every member alike. Plain data. */
export interface PoolerModel {
  readonly poolMode: "transaction" | "session";
  readonly maxClientConnections: number;
  readonly defaultPoolSize: number;
  readonly queryWaitTimeout: number;
}

/** What the arithmetic is made of. Plain data. */
export interface PoolDemand {
  readonly members: number;
  /** Databases by the role that may use them. */
  readonly databases: Readonly<Record<string, readonly string[]>>;
  /** By role, where it has one. */
  readonly connectionLimits: Readonly<Record<string, number | undefined>>;
  readonly maxConnections: ParameterValue | undefined;
}

/** Kept free where the size of the pools follows from the rest: for Patroni, operators, and a few clients that come by themselves. */
const KEPT_FREE = 20;
/** The least: PostgreSQL keeps 3 for its superuser, and Patroni and the set's own programs take a few. */
export const LEAST_FREE = 10;
/** Patroni's own default, and PostgreSQL's. */
const MAX_CONNECTIONS = 100;
/** PgBouncer's own default. */
const POOL_SIZE = 20;

export function maxConnectionsOf({ maxConnections }: PoolDemand): number {
  return Number(maxConnections ?? MAX_CONNECTIONS);
}

/** Pools of all members, each of which may fill up at the primary. */
export function poolsOf({ members, databases }: PoolDemand): number {
  return members * Object.values(databases).reduce((sum, names) => sum + names.length, 0);
}

/** Connections that each pool may have at most, so that the primary refuses none. */
export function largestPool(demand: PoolDemand, free: number): number {
  const pools = poolsOf(demand);
  const byRole = Object.entries(demand.databases).flatMap(([role, names]) => {
    const limit = demand.connectionLimits[role];
    return limit === undefined || !names.length ? [] : [limit / (demand.members * names.length)];
  });
  return Math.floor(Math.min((maxConnectionsOf(demand) - free) / Math.max(1, pools), ...byRole));
}

export function poolerModel(props: PoolerProps, demand: PoolDemand): PoolerModel {
  return {
    poolMode: props.poolMode ?? "transaction",
    maxClientConnections: props.maxClientConnections ?? 1000,
    defaultPoolSize:
      props.defaultPoolSize ??
      Math.min(POOL_SIZE, largestPool(demand, KEPT_FREE) || largestPool(demand, LEAST_FREE)),
    queryWaitTimeout: props.queryWaitTimeout ?? 120,
  };
}
