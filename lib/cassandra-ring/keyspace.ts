import type { Construct } from "constructs";
import { refuse } from "../problem";
import type { Secret } from "../secret/secret";

/** Copies of each row: the same number in every datacenter, or a number for each. */
export type ReplicationFactor = number | Readonly<Record<string, number>>;

export interface KeyspaceProps {
  readonly name: string;
  /**
   * A change is one `ALTER KEYSPACE`, and then a repair on every node, one after the other.
   * @default - 3 in each datacenter, or as many as it has nodes where those are fewer
   */
  readonly replicationFactor?: ReplicationFactor;
  /** Writes go to the commit log first. @default true */
  readonly durableWrites?: boolean;
}

/** What a role may do in a keyspace. */
export type Permission = "SELECT" | "MODIFY" | "CREATE" | "ALTER" | "DROP" | "AUTHORIZE" | "ALL PERMISSIONS";

export interface RoleProps {
  readonly name: string;
  /** The same value for every node: a variable, or read from AWS. */
  readonly password: Secret;
  /** Permissions by keyspace. @default none */
  readonly grants?: Readonly<Record<string, readonly Permission[]>>;
  /** @default false */
  readonly superuser?: boolean;
}

/** Cassandra's own rule; quoting would allow no more. */
export function checkKeyspaceName(scope: Construct, name: string): void {
  if (/^\w{1,48}$/.test(name) && !/^(system(_\w*)?|cdktf_ha)$/.test(name)) return;
  refuse(scope, {
    code: "bad-name",
    what: `keyspace '${name}'`,
    allowed:
      "letters, digits and underscore, at most 48 (a directory of the data), and none of Cassandra's own (system...) or ours (cdktf_ha)",
    fix: "choose such a name",
  });
}

export function checkRoleName(scope: Construct, name: string): void {
  if (/^[A-Za-z][A-Za-z0-9_-]{0,63}$/.test(name) && name !== "cassandra") return;
  refuse(scope, {
    code: "bad-name",
    what: `role '${name}'`,
    allowed:
      "a letter, then letters, digits, dash and underscore, at most 64; not 'cassandra', which is switched off",
    fix: "choose such a name",
  });
}

/** Cassandra takes anything; a shell, a log and an address bar do not. */
export function checkClusterName(scope: Construct, name: string): void {
  if (/^[A-Za-z0-9][A-Za-z0-9 ._-]{0,63}$/.test(name)) return;
  refuse(scope, {
    code: "bad-name",
    what: `cluster '${name}'`,
    allowed: "letters, digits, space, dot, dash and underscore, at most 64; it can never be changed",
    fix: "choose such a name",
  });
}

/** A datacenter or a rack: a value of cassandra-rackdc.properties and a word of CQL. */
export function isPlaceName(name: string): boolean {
  return /^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$/.test(name);
}

export function checkDatacenterName(scope: Construct, name: string): void {
  if (isPlaceName(name) && !["class", "replication_factor"].includes(name)) return;
  refuse(scope, {
    code: "bad-name",
    what: `datacenter '${name}'`,
    allowed:
      "letters, digits, dot, dash and underscore, at most 64; not 'class' or 'replication_factor', which stand beside datacenters in a keyspace's replication",
    fix: "rename the datacenter",
  });
}

/** What on-machine/ring.py makes true, as JSON; passwords are placeholders, each in a file of its own. */
export interface SchemaModel {
  readonly keyspaces: readonly {
    readonly name: string;
    readonly copies: Readonly<Record<string, number>>;
    readonly durableWrites: boolean;
  }[];
  /** Cassandra's own and ours: they follow the number of nodes. */
  readonly system: Readonly<Record<string, Readonly<Record<string, number>>>>;
  readonly roles: readonly {
    readonly name: string;
    readonly passwordFile: string;
    readonly superuser: boolean;
    readonly grants: Readonly<Record<string, readonly string[]>>;
  }[];
}

export function renderSchema(model: SchemaModel): string {
  return `${JSON.stringify(model, undefined, 2)}\n`;
}
