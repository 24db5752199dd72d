import type { ClusterTopology, TopologyTimer } from "../topology/topology";
import { advertIntervalOf, type VirtualIpGroup } from "./virtual-ip-group";

type Groups = Readonly<Record<string, VirtualIpGroup>>;

export function addressesOf(groups: Groups): ClusterTopology["addresses"] {
  return Object.entries(groups).flatMap(([group, { addresses }]) =>
    addresses.map(({ address, mode }) => ({ group, address, mode })),
  );
}

export function timersOf(groups: Groups): TopologyTimer[] {
  return Object.entries(groups).map(([name, group]) => ({
    name: `${name}: a node that is gone is missed`,
    seconds: Number((3.1 * advertIntervalOf(group)).toFixed(3)),
    because: "three adverts, and a skew of at most a tenth of one",
  }));
}
