import { contains, isIpv6, parseNetwork } from "../net";
import type { Protocol } from "./port";

/**
 * What a machine lets in, or out, as plain data: one model, rendered to nftables here and to security group rules on AWS.
 * Pure.
 */
export interface Rule {
  readonly protocol: Protocol;
  readonly first: number;
  readonly last: number;
  /** A network in canonical form, or an address that only Terraform knows. */
  readonly network: string;
  /** Who that is and why, for a reader of the rules. */
  readonly purpose: string;
}

/** Rules of one port range, with everybody who may use it. */
export interface RuleGroup {
  readonly protocol: Protocol;
  readonly first: number;
  readonly last: number;
  readonly ipv4: readonly string[];
  readonly ipv6: readonly string[];
  /** Addresses that only Terraform knows. */
  readonly unresolved: readonly string[];
  readonly purposes: readonly string[];
}

/**
 * The same admissions without repetition, in one order whatever the order of the input: a rule that another one covers
 * (same protocol, its ports and its network inside the other's) is left out.
 */
export function canonicalRules(rules: readonly Rule[]): Rule[] {
  const unique = new Map<string, Rule>();
  for (const rule of [...rules].sort(compareRules)) {
    const key = [rule.protocol, rule.first, rule.last, rule.network].join(" ");
    if (!unique.has(key)) unique.set(key, rule);
  }
  const all = [...unique.values()];
  // A single address covers only itself: with a thousand peers this keeps the comparison from growing with the square.
  const wide = all.filter(({ network }) => !isSingleAddress(network));
  const byNetwork = new Map<string, Rule[]>();
  for (const rule of all) byNetwork.set(rule.network, [...(byNetwork.get(rule.network) ?? []), rule]);
  return all.filter(
    (rule) =>
      ![...wide, ...byNetwork.get(rule.network)!].some((other) => other !== rule && covers(other, rule)),
  );
}

function isSingleAddress(network: string): boolean {
  return /\/(32|128)$/.test(network) && (network.endsWith("/32") ? !network.includes(":") : true);
}

/** Canonical rules by port range. */
export function groupRules(rules: readonly Rule[]): RuleGroup[] {
  const groups = new Map<string, Rule[]>();
  for (const rule of canonicalRules(rules)) {
    const key = `${rule.protocol} ${rule.first} ${rule.last}`;
    groups.set(key, [...(groups.get(key) ?? []), rule]);
  }
  return [...groups.values()].map((group) => {
    const networks = group.map(({ network }) => network);
    const known = networks.filter((network) => parseNetwork(network));
    const { protocol, first, last } = group[0]!;
    return {
      protocol,
      first,
      last,
      ipv4: known.filter((network) => !isIpv6(network.split("/")[0]!)),
      ipv6: known.filter((network) => isIpv6(network.split("/")[0]!)),
      unresolved: networks.filter((network) => !parseNetwork(network)),
      purposes: [...new Set(group.map(({ purpose }) => purpose))].sort(),
    };
  });
}

/** Does every packet that `inner` admits pass by `outer` as well? */
function covers(outer: Rule, inner: Rule): boolean {
  return (
    outer.protocol === inner.protocol &&
    outer.first <= inner.first &&
    outer.last >= inner.last &&
    (outer.network === inner.network || contains(outer.network, inner.network))
  );
}

function compareRules(a: Rule, b: Rule): number {
  return (
    a.protocol.localeCompare(b.protocol) ||
    a.first - b.first ||
    a.last - b.last ||
    compareText(a.network, b.network) ||
    compareText(a.purpose, b.purpose)
  );
}

/** By code unit: localeCompare would depend on the machine that synthesizes. */
function compareText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
