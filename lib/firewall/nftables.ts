import { isIpv6 } from "../net";
import type { Protocol } from "./port";
import { groupRules, type Rule, type RuleGroup } from "./rule-set";

/** Everything a machine's own firewall says. */
export interface HostRules {
  /** Who may connect to what. */
  readonly inbound: readonly Rule[];
  /** Where the machine may connect to; nothing means everywhere. */
  readonly outbound?: readonly Rule[];
  /** Ports that answer on the loopback interface only, whatever any other rule says. */
  readonly localhostOnly: readonly { protocol: Protocol; first: number; last: number; purpose: string }[];
  /** Servers that the machine is a client of, and whose address moves between machines. */
  readonly moving?: readonly MovingServer[];
}

export interface MovingServer {
  readonly address: string;
  /** TCP. */
  readonly port: number;
  readonly purpose: string;
}

/** The table's name: ours alone, so that rules of Docker, of fail2ban or of an operator stay as they are. */
export const NFTABLES_TABLE = "cdktf_ha";

/**
 * The file that `nft -f` loads, in one transaction: the old table goes and the new one comes in the same instant, and
 * connections that are established go on. Pure.
 */
export function renderNftables(rules: HostRules): string {
  const inbound = groupRules(rules.inbound).flatMap((group) => ruleLines(group, "saddr"));
  const localhost = rules.localhostOnly.map(
    ({ purpose, ...port }) =>
      `iifname != "lo" ${portMatch(port)} drop comment ${quote(`localhost only: ${purpose}`)}`,
  );
  return [
    `table inet ${NFTABLES_TABLE}`,
    `delete table inet ${NFTABLES_TABLE}`,
    "",
    `table inet ${NFTABLES_TABLE} {`,
    ...chain("input", [
      "ct state established,related accept",
      'iifname "lo" accept',
      ...localhost,
      ...[...new Set(rules.moving?.map(movingLine))].sort(),
      "ct state invalid drop",
      ...ESSENTIAL_ICMP,
      ...inbound,
    ]),
    ...(rules.outbound
      ? chain("output", [
          "ct state established,related accept",
          'oifname "lo" accept',
          ...ESSENTIAL_ICMP,
          ...groupRules(rules.outbound).flatMap((group) => ruleLines(group, "daddr")),
        ])
      : []),
    "}",
    "",
  ].join("\n");
}

/** Path MTU, unreachable hosts, IPv6's neighbours and routers: without them addresses stop working, and ping helps. */
const ESSENTIAL_ICMP = [
  "icmp type { echo-request, destination-unreachable, time-exceeded, parameter-problem } accept",
  "icmpv6 type { echo-request, destination-unreachable, packet-too-big, time-exceeded, parameter-problem, nd-neighbor-solicit, nd-neighbor-advert, nd-router-solicit, nd-router-advert, mld-listener-query } accept",
];

/**
 * Whoever takes the address over does not know its connections, and asks about them by a packet that fits none: the machine's answer is refused,
 * so that it connects anew at once, and not after its next, late repetition.
 */
function movingLine({ address, port, purpose }: MovingServer): string {
  return `${isIpv6(address) ? "ip6" : "ip"} saddr ${address} tcp sport ${port} ct state invalid tcp flags & (fin | syn | rst | ack) == ack accept comment ${quote(purpose)}`;
}

function chain(name: "input" | "output", lines: readonly string[]): string[] {
  return [
    `  chain ${name} {`,
    `    type filter hook ${name} priority filter; policy drop;`,
    ...lines.map((line) => `    ${line}`),
    "  }",
  ];
}

function ruleLines(group: RuleGroup, side: "saddr" | "daddr"): string[] {
  const match = portMatch(group);
  const comment = `comment ${quote(group.purposes.join("; "))}`;
  const lines: string[] = [];
  if (group.ipv4.includes("0.0.0.0/0") && group.ipv6.includes("::/0")) return [`${match} accept ${comment}`];
  if (group.ipv4.length) lines.push(`ip ${side} ${set(group.ipv4)} ${match} accept ${comment}`);
  if (group.ipv6.length) lines.push(`ip6 ${side} ${set(group.ipv6)} ${match} accept ${comment}`);
  // A set of its own: nft refuses a set in which an address lies inside a network, which cannot be seen here.
  if (group.unresolved.length) lines.push(`ip ${side} ${set(group.unresolved)} ${match} accept ${comment}`);
  return lines;
}

function portMatch({ protocol, first, last }: { protocol: Protocol; first: number; last: number }): string {
  if (protocol === "vrrp") return "meta l4proto 112";
  return `${protocol} dport ${first}${last === first ? "" : `-${last}`}`;
}

function set(networks: readonly string[]): string {
  return networks.length === 1 ? networks[0]! : `{ ${networks.join(", ")} }`;
}

/** nft takes at most 128 bytes of comment, and no quotes inside. */
function quote(comment: string): string {
  const clean = comment.replace(/["\\\n]/g, "'");
  return `"${
    Buffer.byteLength(clean) > 120
      ? `${Buffer.from(clean)
          .subarray(0, 117)
          .toString("utf8")
          .replace(/\uFFFD$/, "")}...`
      : clean
  }"`;
}
