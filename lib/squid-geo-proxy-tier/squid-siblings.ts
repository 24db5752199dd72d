/** How the nodes of a region share what they have cached: lines of squid.conf. Pure. */
export interface SquidSiblings {
  readonly protocol: "icp" | "htcp" | "carp";
  /** UDP; of ICP and HTCP. */
  readonly port: number;
  /** How many processes ask. */
  readonly workers: number;
  /** With CARP all nodes of the region, else the others. */
  readonly nodes: readonly SquidSibling[];
  readonly keepCopies: boolean;
}

export interface SquidSibling {
  readonly name: string;
  readonly address: string;
  /** Is it the node itself? */
  readonly self?: boolean;
}

const NO_EXTRAS = "no-digest no-netdb-exchange";
/** A node that lost power is found out about by the same program that asks origins; Squid's own limits are for what it misses. */
const LIMITS = "connect-timeout=1 connect-fail-limit=2";

export function siblingLines(siblings: SquidSiblings | undefined, httpPort: number): string[] {
  if (!siblings) return ["icp_access deny all", "htcp_access deny all"];
  return siblings.protocol === "carp" ? carpLines(siblings, httpPort) : queryLines(siblings, httpPort);
}

/**
 * Where siblings are answered, and where their answers come. Processes may share a port for questions, and not for answers: half of them would come to
 * another one of two than who has asked, and wait until they give up. So the first one answers, and each of the others
 * asks from a port of its own; nobody else may come there.
 */
export function siblingPortLines(siblings: SquidSiblings | undefined): string[] {
  return (["icp", "htcp"] as const).flatMap((protocol) => {
    if (siblings?.protocol !== protocol) return [`${protocol}_port 0`];
    const { port, workers } = siblings;
    const others = Array.from({ length: workers - 1 }, (_, index) => [
      `if \${process_number} = ${index + 2}`,
      `${protocol}_port ${port + index + 1}`,
      "endif",
    ]);
    return [`${protocol}_port ${port}`, ...others.flat()];
  });
}

/** Who is asked, by a datagram, before an origin is. */
function queryLines({ protocol, port, nodes, keepCopies }: SquidSiblings, httpPort: number): string[] {
  const names = nodes.map(({ name }) => siblingName(name));
  return [
    `${protocol}_access allow siblings`,
    `${protocol}_access deny all`,
    `${protocol === "icp" ? "htcp" : "icp"}_access deny all`,
    ...nodes.map(
      ({ name, address }) =>
        `cache_peer ${address} sibling ${httpPort} ${port} ${protocol === "htcp" ? "htcp " : ""}${NO_EXTRAS}${keepCopies ? "" : " proxy-only"} ${LIMITS} name=${siblingName(name)}`,
    ),
    "# what comes from a sibling never goes on to another one",
    ...names.map((name) => `cache_peer_access ${name} deny siblings`),
    "# a sibling that lost power has 100 ms for each answer until it counts as dead",
    "dead_peer_timeout 10 seconds",
    "maximum_icp_query_timeout 100",
  ];
}

/**
 * Each object has one node, by a hash of its URL and of the nodes' names. A node is in its own array: otherwise each would make
 * shares of its own among the others. It asks itself by its internal port, where only origins are asked; nothing can go round.
 */
function carpLines({ nodes, keepCopies }: SquidSiblings, httpPort: number): string[] {
  return [
    "icp_access deny all",
    "htcp_access deny all",
    ...nodes.map(
      ({ name, address, self }) =>
        // what a node gets from itself must not stay private: that would drop what it has just stored
        `cache_peer ${address} parent ${httpPort} 0 carp no-query ${NO_EXTRAS}${keepCopies || self ? "" : " proxy-only"} ${LIMITS} name=${siblingName(name)}`,
    ),
    "# what comes from another node goes to an origin, and what is never kept goes there at once",
    ...nodes.flatMap(({ name }) => [
      `cache_peer_access ${siblingName(name)} deny internal_port`,
      `cache_peer_access ${siblingName(name)} allow kept_methods`,
      `cache_peer_access ${siblingName(name)} deny all`,
    ]),
  ];
}

export function siblingName(node: string): string {
  return `sibling-${node}`;
}
