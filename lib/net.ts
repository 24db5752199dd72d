import * as ipaddr from "ipaddr.js";

/** IP arithmetic, in one place; the parsing is ipaddr.js's. Pure. */

/** This computer, for whoever forwards a port of it. */
export const LOCALHOST = "127.0.0.1";

/** `10.0.0.5` or `2001:db8::5`; the strict dotted form, not inet_aton's shorthands. */
export function isIp(text: string): boolean {
  // by its characters first: ipaddr.js tries, and an exception for each token in a large stack is slow
  return /^[\d.]+$/.test(text) ? ipaddr.IPv4.isValidFourPartDecimal(text) : isIpv6(text);
}

export function isIpv6(text: string): boolean {
  return text.includes(":") && ipaddr.IPv6.isValid(text);
}

/** A host name as RFC 1123 has it. */
export function isHostName(text: string): boolean {
  return (
    text.length <= 253 &&
    text.split(".").every((label) => /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/i.test(label)) &&
    !/^[0-9.]+$/.test(text)
  );
}

/** A network in canonical form: no host bits, compressed IPv6. */
export interface Network {
  readonly family: 4 | 6;
  /** `10.0.1.0/24` */
  readonly cidr: string;
  readonly prefix: number;
}

/** `10.0.1.66/27` is the network `10.0.1.64/27`; nothing if the text is no CIDR. */
export function parseNetwork(text: string): Network | undefined {
  const parsed = parseCidr(text);
  if (!parsed) return undefined;
  const [address, prefix] = parsed;
  const network =
    address.kind() === "ipv4"
      ? ipaddr.IPv4.networkAddressFromCIDR(text)
      : ipaddr.IPv6.networkAddressFromCIDR(text);
  return {
    family: address.kind() === "ipv4" ? 4 : 6,
    cidr: `${network.toString()}/${prefix}`,
    prefix,
  };
}

/** Does the CIDR name the network itself, without bits of a host? */
export function isNetworkAddress(text: string): boolean {
  const parsed = parseCidr(text);
  return parsed !== undefined && `${parsed[0].toString()}/${parsed[1]}` === parseNetwork(text)?.cidr;
}

/** Is the address, or the smaller network, inside the network? */
export function contains(network: string, inner: string): boolean {
  const outer = parseCidr(network);
  const innerText = inner.includes("/") ? inner : `${inner}/${isIpv6(inner) ? 128 : 32}`;
  const [address, prefix] = parseCidr(innerText) ?? [];
  if (outer === undefined || address === undefined || prefix === undefined) return false;
  // match() of one family does not take the other's addresses
  return address.kind() === outer[0].kind() && prefix >= outer[1] && address.match(outer);
}

const NOT_PUBLIC = [
  ...["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16"],
  ...["fc00::/7", "fe80::/10", "::1/128"],
];

/** Can it be reached from the Internet? */
export function isPublic(address: string): boolean {
  return !NOT_PUBLIC.some((network) => contains(network, address));
}

/** Is it the IPv4 network's own address, or its broadcast address? */
export function isEdge(network: string, address: string): boolean {
  const [first, last] = [
    ipaddr.IPv4.networkAddressFromCIDR(network),
    ipaddr.IPv4.broadcastAddressFromCIDR(network),
  ];
  return [first, last].some((edge) => edge.toString() === canonicalIp(address));
}

/** Does AWS keep the address of the IPv4 subnet for itself? The first four and the last: network, router, DNS, future, broadcast. */
export function isReservedAtAws(subnet: string, address: string): boolean {
  const [first, own] = [ipaddr.IPv4.networkAddressFromCIDR(subnet), ipaddr.IPv4.parse(address)].map((ip) =>
    ip.toByteArray().reduce((sum, octet) => sum * 256 + octet, 0),
  );
  return own! - first! < 4 || isEdge(subnet, address);
}

/** Of the sixteen networks that make up the IPv4 network, the one of this number. */
export function sixteenth(network: string, index: number): string {
  const { prefix } = parseNetwork(network)!;
  const first = ipaddr.IPv4.networkAddressFromCIDR(network).toByteArray();
  const number = first.reduce((sum, octet) => sum * 256 + octet, 0) + index * 2 ** (28 - prefix);
  const octets = [24, 16, 8, 0].map((shift) => Math.floor(number / 2 ** shift) % 256);
  return `${new ipaddr.IPv4(octets).toString()}/${prefix + 4}`;
}

/** One spelling for one address. */
export function canonicalIp(text: string): string {
  return isIp(text) ? ipaddr.parse(text).toString() : text;
}

function parseCidr(text: string): [ipaddr.IPv4 | ipaddr.IPv6, number] | undefined {
  const [address = ""] = text.split("/");
  if (!isIp(address)) return undefined;
  try {
    return isIpv6(address) ? ipaddr.IPv6.parseCIDR(text) : ipaddr.IPv4.parseCIDR(text);
  } catch {
    return undefined;
  }
}

/** An address before a port: one of IPv6 stands in brackets. */
export function bracketed(address: string): string {
  return address.includes(":") ? `[${address}]` : address;
}
