import type { Construct } from "constructs";
import { canonicalIp, isIpv6 } from "../net";
import type { Machine } from "../platform/machine";
import { isToken, refuse } from "../problem";

/** What keepalived has to do on one machine so that an address works there. */
export interface AddressOnMachine {
  /** With its prefix length: a line of `virtual_ipaddress`. Nothing where the machine itself does not see the address. */
  readonly cidr?: string;
  /**
   * A program that makes the network send the address here: `take` as the node becomes master, `verify` every ten seconds
   * while it is. Status 0 when the address is here. `try` tells whether the node could, and changes nothing.
   */
  readonly claim?: string;
}

/** An address that belongs to whichever node is alive; and how it moves. */
export abstract class MovingAddress {
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

  /** Refuses an address that a machine has as its own, of the group or of its platform. */
  protected refuseMachines(scope: Construct, machines: readonly Machine[]): void {
    const same = ({ privateAddress }: Machine): boolean =>
      !isToken(privateAddress) && canonicalIp(privateAddress) === this.address;
    const [first] = machines;
    const holder = machines.find(same)?.name ?? first?.platform.holderOf?.(this.address);
    if (holder === undefined) return;
    refuse(scope, {
      code: "virtual-ip-is-a-node",
      what: `the virtual IP ${this.address} is the address of ${holder}`,
      allowed: "an address that no machine has as its own",
      fix: "choose a free address of the same network",
    });
  }

  abstract on(machine: Machine): AddressOnMachine;

  /** Is it the address of IPv6? It moves with the instance, but IPv4 and IPv6 do not share one advert. */
  get isIpv6(): boolean {
    return isIpv6(this.address);
  }
}
