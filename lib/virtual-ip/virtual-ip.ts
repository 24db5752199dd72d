import { canonicalIp, contains, isIp, isIpv6, parseNetwork } from "../net";
import type { Construct } from "constructs";
import type { Machine } from "../platform/machine";
import { isToken, refuse } from "../problem";

/** What keepalived has to do on one machine so that an address works there. */
export interface AddressOnMachine {
  /** With its prefix length: a line of `virtual_ipaddress`. */
  readonly cidr: string;
  /** Shell text that makes the network send the address here; run as the node becomes master, and again and again while it is. */
  readonly claim?: string;
}

/** An address that belongs to whichever node is alive; and how it moves. */
export abstract class VirtualIp {
  /**
   * Announced by gratuitous ARP, or by neighbour advertisements for IPv6: for machines on one network segment that anybody
   * may announce an address on (not in a cloud).
   * @param address with the prefix length of its network: `10.0.1.90/27`
   */
  static layer2(address: string): VirtualIp {
    return new Layer2VirtualIp(address);
  }

  /** The address alone; a token where the platform chooses it. */
  abstract readonly address: string;
  /** `layer2`, `elastic`...: for messages and topology. */
  abstract readonly mode: string;
  /**
   * Seconds between adverts that fit this mode. Where moving costs a call to a cloud's API a false alarm costs more.
   */
  abstract readonly advertInterval: number;

  /** Refuses machines between which the address cannot move. */
  abstract check(scope: Construct, machines: readonly Machine[]): void;

  /** Makes what the platform needs, once for the group of machines. */
  prepare(_scope: Construct, _machines: readonly Machine[]): void {
    // nothing on a plain network
  }

  abstract on(machine: Machine): AddressOnMachine;

  /** Is it the address of IPv6? It moves with the instance, but IPv4 and IPv6 do not share one advert. */
  get isIpv6(): boolean {
    return isIpv6(this.address);
  }
}

class Layer2VirtualIp extends VirtualIp {
  readonly address: string;
  readonly mode = "layer2";
  readonly advertInterval = 0.2;
  private readonly cidr: string;

  constructor(cidr: string) {
    super();
    const [address = ""] = cidr.split("/");
    if (!isToken(cidr) && (!parseNetwork(cidr) || !isIp(address))) {
      refuse("VirtualIp.layer2", {
        code: "bad-cidr",
        what: `'${cidr}'`,
        allowed: "an address with the prefix length of its network",
        fix: `write it like ${isIp(cidr) ? `${cidr}/24` : "10.0.1.90/27"}`,
      });
    }
    this.cidr = cidr;
    this.address = isToken(cidr) ? cidr : canonicalIp(address);
  }

  check(scope: Construct, machines: readonly Machine[]): void {
    if (isToken(this.cidr)) return;
    for (const machine of machines) {
      if (!isToken(machine.privateAddress) && canonicalIp(machine.privateAddress) === this.address) {
        refuse(scope, {
          code: "virtual-ip-is-a-node",
          what: `the virtual IP ${this.address} is the address of ${machine.name}`,
          allowed: "an address that no machine has as its own",
          fix: "choose a free address of the same network",
        });
      }
      // An IPv6 address beside IPv4 machines is on the same segment, which cannot be seen from here.
      if (machine.subnet === undefined || isToken(machine.subnet) || this.isIpv6 !== machine.subnet.includes(":")) continue;
      if (!contains(machine.subnet, this.address)) {
        refuse(scope, {
          code: "virtual-ip-outside-subnet",
          what: `the virtual IP ${this.address} is outside ${machine.subnet}, the network of ${machine.name}`,
          allowed: `a free address of ${machine.subnet}`,
          fix: "choose one, or correct the host's subnet",
        });
      }
    }
  }

  on(): AddressOnMachine {
    return { cidr: this.cidr };
  }
}
