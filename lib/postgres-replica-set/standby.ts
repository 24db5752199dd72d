import { bracketed, isIp } from "../net";
import { isToken, refuse } from "../problem";
import { singleNetwork, type Connectable } from "../firewall/connections";
import type { Peer } from "../firewall/peer";
import { compareNames } from "../names";
import type { PostgresReplicaSet } from "./postgres-replica-set";

/** The set that a standby set follows: in another region, another stack, or beside. */
export interface StandbyOf {
  /**
   * Its members by name, with the addresses at which they are reached from here. It has to name this set's machines in its
   * `standbys`, and to have the same `memberPassword`.
   */
  readonly members: Readonly<Record<string, string>>;
}

/** Machines of a set that follows this one. */
export type Standbys = readonly (Connectable | Peer)[];

/** Patroni's own words; whichever of them answers is followed. */
export function standbyCluster({ members }: StandbyOf): { readonly host: string; readonly port: number } {
  const hosts = Object.entries(members)
    .sort(([a], [b]) => compareNames(a, b))
    .map(([, address]) => address);
  return { host: hosts.join(","), port: 5432 };
}

/** Whom a standby set's members come from. */
export function standbyNetworks(standbys: Standbys): string[] {
  return standbys.flatMap((standby) =>
    "connections" in standby
      ? standby.connections.machines.map(({ privateAddress }) => singleNetwork(privateAddress))
      : standby.cidrs,
  );
}

/** Why a setting waits until the set leads. */
const WHILE_IT_FOLLOWS: Readonly<Record<string, string>> = {
  backups: "backups of the set that it follows; its own when it is a primary",
  recovery: "one beginning: as a copy of another set that lives, or from backups",
  pooler: "a pooler where somebody leads: it would have nobody to lead to",
};

/** What cannot be while a set follows another one. */
export function checkStandby(set: PostgresReplicaSet): void {
  const { standbyOf, backups, recovery, pooler } = set.props;
  if (!standbyOf) return;
  const upstream = Object.entries(standbyOf.members);
  if (!upstream.length) {
    refuse(set, {
      code: "no-nodes",
      what: "'standbyOf.members' is empty",
      allowed: "every member of the other set, with its address",
      fix: 'standbyOf: { members: { "pg-1": "10.1.0.11" } }',
    });
  }
  for (const [name, address] of upstream) {
    if (!isToken(address) && !isIp(address)) {
      refuse(set, {
        code: "bad-address",
        what: `member '${name}' of the other set is at '${bracketed(address)}'`,
        allowed: "an address: it is asked while names may not resolve",
        fix: "write its address",
      });
    }
    if (!set.machines.some((machine) => machine.name === name)) continue;
    refuse(set, {
      code: "same-name",
      what: `a member of both sets is called '${name}'`,
      allowed:
        "names of its own for each: the other set's primary would take a connection from here for its own member's",
      fix: "rename the members of one of them",
    });
  }
  const [has] = Object.entries({ backups, recovery, pooler }).find(([, value]) => value !== undefined) ?? [];
  if (has === undefined) return;
  refuse(set, {
    code: "conflicting-setting",
    what: `the set has 'standbyOf' and '${has}'`,
    allowed: WHILE_IT_FOLLOWS[has]!,
    fix: `leave '${has}' out`,
  });
}
