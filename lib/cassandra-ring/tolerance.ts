/** How many nodes each datacenter has in each rack, and how often a keyspace is there. */
export interface Replication {
  readonly keyspace: string;
  /** Copies, by datacenter. */
  readonly copies: Readonly<Record<string, number>>;
  /** Nodes by rack, by datacenter. */
  readonly racks: Readonly<Record<string, Readonly<Record<string, number>>>>;
}

/** What may fail without anybody noticing. */
export interface Tolerance {
  readonly keyspace: string;
  /** Nodes that may be down with a copy of everything left: RF - 1, however many nodes there are. */
  readonly withACopyLeft: number;
  /** Nodes that may be down while QUORUM, over all datacenters, still answers for every row. */
  readonly quorum: number;
  /** By datacenter: nodes of it that may be down while LOCAL_QUORUM there still answers for every row. */
  readonly localQuorum: Readonly<Record<string, number>>;
  /** By datacenter: racks (zones) that may be down as a whole while LOCAL_QUORUM there still answers. */
  readonly racksAtLocalQuorum: Readonly<Record<string, number>>;
  /** By datacenter: part of all data that a node of the smallest rack holds. */
  readonly share: Readonly<Record<string, number>>;
}

export function quorumOf(copies: number): number {
  return Math.floor(copies / 2) + 1;
}

/**
 * The worst case: the nodes that are down are just the ones that hold the same rows. More nodes spread the data wider, and
 * tolerate no more failures. Pure.
 */
export function toleranceOf({ keyspace, copies, racks }: Replication): Tolerance {
  const total = Object.values(copies).reduce((sum, count) => sum + count, 0);
  const datacenters = Object.entries(copies).filter(([, count]) => count > 0);
  const each = (value: (datacenter: string, count: number) => number): Record<string, number> =>
    Object.fromEntries(datacenters.map(([datacenter, count]) => [datacenter, value(datacenter, count)]));
  return {
    keyspace,
    withACopyLeft: Math.max(0, total - 1),
    quorum: total - quorumOf(total),
    localQuorum: each((_, count) => count - quorumOf(count)),
    racksAtLocalQuorum: each((datacenter, count) => racksThatMayFail(count, racks[datacenter] ?? {})),
    share: each((datacenter, count) => largestShare(count, racks[datacenter] ?? {})),
  };
}

/**
 * NetworkTopologyStrategy gives each rack at most ceil(RF / racks) copies of a row, where every rack has nodes enough; the
 * fullest racks fail first.
 */
function racksThatMayFail(copies: number, racks: Readonly<Record<string, number>>): number {
  const sizes = Object.values(racks).filter((size) => size > 0);
  if (!sizes.length) return 0;
  const perRack = Math.max(1, ...copiesInRacks(copies, sizes));
  return Math.min(sizes.length - 1, Math.floor((copies - quorumOf(copies)) / perRack));
}

/** A rack has its copies whatever its size: few nodes share them. With more racks than copies tokens decide, about evenly. */
function largestShare(copies: number, racks: Readonly<Record<string, number>>): number {
  const sizes = Object.values(racks).filter((size) => size > 0);
  const nodes = sizes.reduce((sum, size) => sum + size, 0);
  if (!nodes) return 0;
  if (sizes.length > copies) return Math.min(1, copies / nodes);
  return Math.min(1, Math.max(...copiesInRacks(copies, sizes).map((held, rack) => held / sizes[rack]!)));
}

function copiesInRacks(copies: number, sizes: readonly number[]): number[] {
  // racks are filled in turn, each at most with its nodes: the last copies go where there are nodes left
  const held = sizes.map(() => 0);
  let left = Math.min(
    copies,
    sizes.reduce((sum, size) => sum + size, 0),
  );
  while (left > 0) {
    for (let rack = 0; rack < sizes.length && left > 0; rack++) {
      if (held[rack]! < sizes[rack]!) {
        held[rack]!++;
        left--;
      }
    }
  }
  return held;
}

/** In the words in which an operator thinks of it. */
export function toleranceText(tolerance: Tolerance): string {
  const { keyspace, withACopyLeft, quorum, localQuorum, racksAtLocalQuorum, share } = tolerance;
  const datacenters = Object.keys(localQuorum);
  const local = datacenters
    .map((name) => {
      const where = datacenters.length > 1 ? ` in ${name}` : "";
      return `LOCAL_QUORUM${where} survives ${nodes(localQuorum[name]!)} and ${zones(racksAtLocalQuorum[name]!)}; a node${where} holds up to ${Math.round(share[name]! * 100)} % of the data`;
    })
    .join("; ");
  return (
    `keyspace '${keyspace}': ${nodes(withACopyLeft)} may be down with a copy of everything left, however many nodes there are; ` +
    `QUORUM survives ${nodes(quorum)}; ${local}`
  );
}

function nodes(count: number): string {
  return count === 1 ? "1 node" : `${count} nodes`;
}

function zones(count: number): string {
  return count === 1 ? "1 zone" : `${count} zones`;
}
