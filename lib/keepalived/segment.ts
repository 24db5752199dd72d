import { createHash } from "node:crypto";
import type { Construct, IConstruct } from "constructs";
import type { Machine } from "../platform/machine";
import { isToken, refuse, warn } from "../problem";
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
        fix: `vrrp: { virtualRouterId: ${[...Array(255).keys()].map((n) => n + 1).find((n) => !segment.ids.has(n))} }, or in the group of 'virtualIps'`,
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
  if (announced)
    warnOfNeighbours(scope, { path, id, addresses: addresses.map(({ address }) => address) }, machines);
  return id;
}

interface Announced {
  readonly path: string;
  readonly id: number;
  readonly addresses: readonly string[];
}

/** Groups of the whole app, by the network they announce on. */
const announcedOn = new WeakMap<IConstruct, Map<string, Announced[]>>();

/** Two platforms with one network may be one segment, or two sites that use the same private addresses. */
function warnOfNeighbours(scope: Construct, group: Announced, [machine]: readonly Machine[]): void {
  const network = machine?.subnet;
  if (network === undefined || isToken(network)) return;
  const app = scope.node.root;
  const networks = announcedOn.get(app) ?? new Map<string, Announced[]>();
  announcedOn.set(app, networks);
  const others = networks.get(network) ?? [];
  for (const { path, id, addresses } of others) {
    const address = addresses.find((each) => group.addresses.includes(each));
    if (address === undefined && id !== group.id) continue;
    const [code, shared, other] =
      address === undefined
        ? (["virtual-router-id-clash", `the virtual router id ${id}`, "another 'virtualRouterId'"] as const)
        : (["virtual-ip-taken", `the virtual IP ${address}`, "another address"] as const);
    warn(scope, {
      code,
      what: `${path}, of another platform, has ${shared} too, on a network ${network} as well`,
      allowed: "the same only where the two networks are not one",
      fix: `${other}, if they are one`,
    });
  }
  networks.set(network, [...others, group]);
}
