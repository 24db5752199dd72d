import { createHash } from "node:crypto";
import type { Construct } from "constructs";
import type { Machine } from "../platform/machine";
import { refuse } from "../problem";
import type { VirtualIpGroup } from "./virtual-ip-group";

/**
 * What is taken where adverts are heard: on a network segment, where addresses are announced to everybody; else on the
 * machines alone, which hear nobody but their own peers.
 */
class Segment {
  private static readonly all = new WeakMap<object, Segment>();

  static of(place: object): Segment {
    let segment = this.all.get(place);
    if (!segment) this.all.set(place, (segment = new Segment()));
    return segment;
  }

  readonly ids = new Map<number, string>();
  readonly addresses = new Map<string, string>();
}

/** The group's id: its own choice, or made of its path, so that it never changes. Taken from then on. */
export function takeVirtualRouterId(
  scope: Construct,
  name: string,
  { virtualRouterId, addresses }: VirtualIpGroup,
  machines: readonly Machine[],
): number {
  const path = `${scope.node.path}/${name}`;
  const id = virtualRouterId ?? 1 + (createHash("sha256").update(path).digest().readUInt32BE(0) % 255);
  const announced = addresses.some(({ mode }) => mode === "layer2");
  for (const segment of announced
    ? [Segment.of(machines[0]!.platform)]
    : machines.map((machine) => Segment.of(machine))) {
    const other = segment.ids.get(id);
    if (other !== undefined) {
      refuse(scope, {
        code: "virtual-router-id-clash",
        what: `'${name}' has the virtual router id ${id}${virtualRouterId === undefined ? ", made of its path" : ""}; so has ${other}`,
        allowed: "one id for one group of a segment",
        fix: `virtualRouterId: ${[...Array(255).keys()].map((n) => n + 1).find((n) => !segment.ids.has(n))}`,
      });
    }
    segment.ids.set(id, path);
    for (const { address } of addresses) {
      const owner = segment.addresses.get(address);
      if (owner !== undefined) {
        refuse(scope, {
          code: "virtual-ip-taken",
          what: `the virtual IP ${address} of '${name}' belongs to ${owner} already`,
          allowed: "an address in one group only",
          fix: "choose another one",
        });
      }
      segment.addresses.set(address, path);
    }
  }
  return id;
}
