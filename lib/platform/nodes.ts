import type { Construct } from "constructs";
import { refuse, warn } from "../problem";
import type { DataVolume } from "./aws/data-volume";
import { Machine } from "./machine";
import type { NodeProps, Nodes, Platform } from "./platform";

export interface MachinesOptions {
  /** What the user calls them. @default "nodes" */
  readonly called?: "nodes" | "members";
  /** For each new machine that names none itself. @default none */
  readonly dataVolume?: DataVolume;
  /** Where the data is, for whoever has to mount a disk there by hand. */
  readonly dataDirectory?: string;
}

/** The machines of a cluster: new ones of the platform, or those that are named as machines. */
export function machinesOf(
  scope: Construct,
  platform: Platform,
  nodes: Nodes,
  { called = "nodes", dataVolume, dataDirectory }: MachinesOptions = {},
): Machine[] {
  if (dataVolume && platform.placesByHost) {
    refuse(scope, {
      code: "conflicting-setting",
      what: "'dataVolume' on hosts that exist already",
      allowed: "AWS, where the platform makes the volume",
      fix: `leave it out, and mount a disk of the host at ${dataDirectory}`,
    });
  }
  const entries: (readonly [string, NodeProps | Machine])[] = isList(nodes)
    ? nodes.map((name) => [name, {}])
    : Object.entries(nodes);
  if (!entries.length) {
    refuse(scope, {
      code: "no-nodes",
      what: `'${called}' is empty`,
      allowed: "one at least",
      fix: `name the ${called}, or leave the cluster out`,
    });
  }
  const names = entries.map(([name]) => name);
  const twice = names.find((name, index) => names.indexOf(name) !== index);
  if (twice !== undefined) {
    refuse(scope, {
      code: "duplicate-name",
      what: `two ${called} are called '${twice}'`,
      allowed: "a name of its own for each",
      fix: "rename one of them",
    });
  }
  const machines = entries.map(([name, node]) =>
    Machine.isMachine(node)
      ? node
      : platform.machine(scope, name, {
          dataVolume,
          ...node,
          zone: node.zone ?? zoneOf(scope, platform, name),
        }),
  );
  warnOfOneZone(scope, machines);
  return machines;
}

/**
 * A node's zone follows from its own name (`lb-2` is in the second zone), never from its place in a list: a list that
 * grows in the middle must not move the nodes behind.
 */
function zoneOf(scope: Construct, platform: Platform, name: string): string | undefined {
  if (platform.placesByHost) return undefined;
  const { zones } = platform;
  if (zones.length <= 1) return zones[0];
  const number = /(\d+)$/.exec(name)?.[1];
  if (number !== undefined) return zones[(Number(number) + zones.length - 1) % zones.length];
  return refuse(scope, {
    code: "zone-needed",
    what: `node '${name}' has no zone, and its name ends in no number`,
    allowed: `one of ${zones.join(", ")}; a number at the end of the name (${name}-1, ${name}-2) spreads nodes by itself`,
    fix: `nodes: { "${name}": { zone: "${zones[0]}" } }`,
  });
}

function warnOfOneZone(scope: Construct, machines: readonly Machine[]): void {
  const zones = new Set(machines.map(({ zone }) => zone));
  if (machines.length < 2 || zones.size > 1 || zones.has(undefined)) return;
  warn(scope, {
    code: "one-zone",
    what: `all ${machines.length} nodes are in zone '${[...zones][0]}'`,
    allowed: "nodes in at least two zones: a zone fails as a whole",
    fix: "give the nodes different zones",
  });
}

function isList(nodes: Nodes): nodes is readonly string[] {
  return Array.isArray(nodes);
}
