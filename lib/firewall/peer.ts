import { isIp, isIpv6, isNetworkAddress, parseNetwork } from "../net";
import { isToken, refuse } from "../problem";

/** Somebody outside of the stack who may connect. Clusters of the stack are named by themselves instead. */
export class Peer {
  /** A network, `203.0.113.0/24`, or one address, `203.0.113.7`. */
  static cidr(cidr: string): Peer {
    if (isToken(cidr)) return new Peer([cidr], cidr);
    const network = parseNetwork(isIp(cidr) ? `${cidr}/${isIpv6(cidr) ? 128 : 32}` : cidr);
    if (!network) {
      refuse("Peer.cidr", {
        code: "bad-cidr",
        what: `'${cidr}'`,
        allowed: "an IPv4 or IPv6 network with its prefix length, or one address",
        fix: "write it like 203.0.113.0/24 or 2001:db8::/32",
      });
    }
    if (!isIp(cidr) && !isNetworkAddress(cidr)) {
      refuse("Peer.cidr", {
        code: "bad-cidr",
        what: `'${cidr}' has bits of a host behind its prefix`,
        allowed: "the address of the network itself, so that nobody is let in by mistake",
        fix: `did you mean '${network.cidr}', or the one address '${cidr.split("/")[0]}'?`,
      });
    }
    return new Peer([network.cidr], cidr);
  }

  /** The whole Internet, IPv4 and IPv6. */
  static anyone(): Peer {
    return new Peer(["0.0.0.0/0", "::/0"], "anyone");
  }

  private constructor(
    /** In canonical form; a token where only Terraform knows it. */
    readonly cidrs: readonly string[],
    readonly description: string,
  ) {}
}
