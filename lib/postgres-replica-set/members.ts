import { Machine } from "../platform/machine";
import type { NodeProps, Nodes } from "../platform/platform";

/** One member: where it runs, and what it is for. By Patroni's and PostgreSQL's own words. */
export interface MemberProps extends NodeProps {
  /** Never leads. It is never waited for either: a commit that only it has would be lost with the primary. @default false */
  readonly noFailover?: boolean;
  /** No load balancer sends anybody here: for reports, or for a machine that is far away. @default false */
  readonly noLoadBalance?: boolean;
  /** No commit waits for it. @default false */
  readonly noSync?: boolean;
  /**
   * Copies from this member instead of the primary, which sends less; no commit waits for it then. While that member is
   * away, from the primary.
   * @default - the primary, whoever leads
   */
  readonly replicateFrom?: string;
  /**
   * Has every commit at once, and shows it this much later, `1h`: what somebody deleted is there until then. A number with
   * ms, s, min, h or d, at most 24 days. It never leads, is never waited for, and no load balancer sends anybody here.
   * @default - at once
   */
  readonly applyDelay?: string;
}

/** Members by name, or just their names; or machines that are there already, which have no part of their own. */
export type Members = Readonly<Record<string, MemberProps | Machine>> | readonly string[];

/** What a member is for, with what follows from what was said. Plain data. */
export interface MemberRole {
  readonly noFailover: boolean;
  readonly noLoadBalance: boolean;
  readonly noSync: boolean;
  readonly replicateFrom?: string;
  readonly applyDelay?: string;
}

/** Where the members run, without what they are for. */
export function nodesOf(members: Members): Nodes {
  if (isList(members)) return members;
  return Object.fromEntries(
    Object.entries(members).map(([name, member]) => [
      name,
      Machine.isMachine(member) ? member : nodeOf(member),
    ]),
  );
}

const ROLE: readonly string[] = ["noFailover", "noLoadBalance", "noSync", "replicateFrom", "applyDelay"];

function nodeOf(member: MemberProps): NodeProps {
  return Object.fromEntries(Object.entries(member).filter(([key]) => !ROLE.includes(key)));
}

/** What a member was said to be for; nothing where only its name or its machine was given. */
export function saidOf(members: Members | number, name: string): MemberProps {
  if (typeof members === "number" || isList(members)) return {};
  const member = members[name];
  return member === undefined || Machine.isMachine(member) ? {} : member;
}

export function roleOf({
  noFailover,
  noLoadBalance,
  noSync,
  replicateFrom,
  applyDelay,
}: MemberProps): MemberRole {
  const delayed = applyDelay !== undefined;
  const never = delayed || noFailover === true;
  return {
    noFailover: never,
    noLoadBalance: delayed || noLoadBalance === true,
    // Patroni itself would let a commit wait for a member that may not lead, and then nobody takes over
    noSync: never || noSync === true,
    ...(replicateFrom === undefined ? {} : { replicateFrom }),
    ...(delayed ? { applyDelay } : {}),
  };
}

/** Patroni's words for it; the last one is for the set's own programs, and for whoever looks. Nothing where there is none. */
export function tagsOf(role: MemberRole): Readonly<Record<string, boolean | string>> | undefined {
  const tags = {
    ...(role.noFailover ? { nofailover: true } : {}),
    ...(role.noLoadBalance ? { noloadbalance: true } : {}),
    ...(role.noSync ? { nosync: true } : {}),
    ...(role.replicateFrom === undefined ? {} : { replicatefrom: role.replicateFrom }),
    ...(role.applyDelay === undefined ? {} : { apply_delay: role.applyDelay }),
  };
  return Object.keys(tags).length ? tags : undefined;
}

/** From whom a member copies, from whom that one does, and so on: without the primary. A circle ends where it closes. */
export function sourcesOf(name: string, role: (name: string) => MemberRole): string[] {
  const found: string[] = [];
  let source = role(name).replicateFrom;
  while (source !== undefined && !found.includes(source)) {
    found.push(source);
    source = role(source).replicateFrom;
  }
  return found;
}

/** Milliseconds of a delay as PostgreSQL writes it; nothing where it is none. */
export function delayMilliseconds(delay: string): number | undefined {
  const [, number, unit] = /^([1-9]\d{0,9})(ms|s|min|h|d)$/.exec(delay) ?? [];
  if (number === undefined || unit === undefined) return undefined;
  return (
    Number(number) * { ms: 1, s: 1e3, min: 6e4, h: 3.6e6, d: 8.64e7 }[unit as "ms" | "s" | "min" | "h" | "d"]
  );
}

function isList(members: Members): members is readonly string[] {
  return Array.isArray(members);
}
