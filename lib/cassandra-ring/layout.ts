import { compareNames } from "../names";
import type { Machine } from "../platform/machine";

/** A node with its place in the ring. */
export interface RingNode {
  readonly name: string;
  readonly machine: Machine;
  readonly datacenter: string;
  readonly rack: string;
}

/**
 * About three seeds for a datacenter, one of each rack, by name: the first of each rack, and of the racks the first three.
 * With one rack, its first two. A seed that goes is followed by the next name; nobody restarts for it.
 */
export function defaultSeeds(nodes: readonly RingNode[]): RingNode[] {
  const byName = [...nodes].sort((a, b) => compareNames(a.name, b.name));
  const racks = [...new Set(byName.map(({ rack }) => rack))].sort(compareNames);
  if (racks.length === 1) return byName.slice(0, 2);
  return racks.slice(0, 3).map((rack) => byName.find((node) => node.rack === rack)!);
}

/**
 * In which order nodes begin and change: datacenter after datacenter, each by name. Never by what may change later, such as
 * who is a seed: Terraform remembers the order, and has no way from one to its opposite (a cycle of destroyed resources).
 */
export function changeOrder(nodes: readonly RingNode[]): RingNode[] {
  const datacenters = [...new Set(nodes.map(({ datacenter }) => datacenter))];
  const rank = (node: RingNode): number => datacenters.indexOf(node.datacenter);
  return [...nodes].sort((a, b) => rank(a) - rank(b) || compareNames(a.name, b.name));
}

/** Nodes by rack, by datacenter. */
export function racksOf(nodes: readonly RingNode[]): Record<string, Record<string, number>> {
  const racks: Record<string, Record<string, number>> = {};
  for (const { datacenter, rack } of nodes) {
    const inDatacenter = (racks[datacenter] ??= {});
    inDatacenter[rack] = (inDatacenter[rack] ?? 0) + 1;
  }
  return racks;
}
