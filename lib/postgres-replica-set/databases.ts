import type { Construct } from "constructs";
import { refuse } from "../problem";
import type { Secret } from "../secret/secret";
import { passwordFile } from "./patroni-service";
import type { PostgresReplicaSetProps } from "./replica-set-props";

export interface DatabaseProps {
  readonly name: string;
  /** A role of the set. @default - the superuser: whoever else wants to make tables needs a grant by hand */
  readonly owner?: string;
  /** Created in it by the superuser; one that leaves the code stays. @default none */
  readonly extensions?: readonly string[];
}

/** What a role may do in a database, in the schema `public`, with what is there and with what its owner adds. */
export type Access = "read" | "write";

export interface DatabaseRoleProps {
  readonly name: string;
  /** The same value for every member: a variable, or read from AWS. */
  readonly password: Secret;
  /** Databases that the role may use without owning them. @default none */
  readonly grants?: Readonly<Record<string, Access>>;
  /** Connections that the role may have at once. @default - as many as there are */
  readonly connectionLimit?: number;
}

/** What the settle step is told: pure, without passwords, in a canonical order. */
export interface SchemaModel {
  /** While the set follows another one it makes nothing: all of it comes from there. */
  readonly standby: boolean;
  /** Role of an exporter on each member. */
  readonly metrics?: string;
  readonly databases: readonly { name: string; owner: string; extensions: readonly string[] }[];
  readonly roles: readonly {
    name: string;
    passwordFile: string;
    connectionLimit: number;
    grants: Readonly<Record<string, Access>>;
  }[];
}

/** As the props of a set have them. */
export type DatabasesAndRoles = Pick<PostgresReplicaSetProps, "databases" | "roles">;

/** Databases that each role may use. */
export function databasesByRole({ databases = [], roles = [] }: DatabasesAndRoles): Record<string, string[]> {
  return Object.fromEntries(
    roles.map(({ name, grants = {} }) => {
      const owned = databases.filter(({ owner }) => owner === name).map((database) => database.name);
      return [name, [...new Set([...Object.keys(grants), ...owned])]];
    }),
  );
}

/** By the file that they are in on a member. */
export function passwordsOf({ roles = [] }: DatabasesAndRoles): Record<string, Secret> {
  return Object.fromEntries(roles.map(({ name, password }) => [passwordFile(name), password]));
}

export function schemaOf({
  databases = [],
  roles = [],
  standbyOf,
  metrics,
}: PostgresReplicaSetProps): SchemaModel {
  return {
    standby: standbyOf !== undefined,
    metrics: metrics && METRICS_ROLE,
    databases: databases.map(({ name, owner = "postgres", extensions = [] }) => ({
      name,
      owner,
      extensions: [...extensions].sort(),
    })),
    roles: roles.map(({ name, connectionLimit = -1, grants = {} }) => ({
      name,
      passwordFile: passwordFile(name),
      connectionLimit,
      grants: Object.fromEntries(Object.entries(grants).sort(([a], [b]) => (a < b ? -1 : 1))),
    })),
  };
}

export function renderSchema(model: SchemaModel): string {
  const byName = <T extends { name: string }>(all: readonly T[]): T[] =>
    [...all].sort((a, b) => (a.name < b.name ? -1 : 1));
  const standby = model.standby ? { standby: true } : {};
  const metrics = model.metrics === undefined ? {} : { metrics: model.metrics };
  return `${JSON.stringify({ ...standby, ...metrics, databases: byName(model.databases), roles: byName(model.roles) }, undefined, 2)}\n`;
}

/** The exporter's; also its user of the system, whom PostgreSQL lets in by that: there is no password. */
export const METRICS_ROLE = "prometheus";

/** Roles that PostgreSQL or the set has for itself. */
export const OWN_ROLES = ["postgres", "replicator", "rewind", METRICS_ROLE];

/** Names that need no quotes anywhere: in SQL, in pg_hba.conf, in a URL. */
export function checkSqlName(scope: Construct, kind: "database" | "role", name: string): void {
  const reserved =
    kind === "database"
      ? ["postgres", "template0", "template1", "all", "replication", "sameuser", "samerole", "samegroup"]
      : [...OWN_ROLES, "all", "public", "none", "user"];
  if (/^[a-z_][a-z0-9_]{0,62}$/.test(name) && !name.startsWith("pg_") && !reserved.includes(name)) return;
  refuse(scope, {
    code: "bad-name",
    what: `${kind} '${name}'`,
    allowed: `lower case letters, digits and underscore, at most 63, beginning with no digit, and none of PostgreSQL's or the set's own (${reserved.join(", ")}, pg_...)`,
    fix: "choose such a name",
  });
}
