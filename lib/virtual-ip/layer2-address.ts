import type { Construct } from "constructs";
import { canonicalIp, contains, isEdge, isIp, parseNetwork } from "../net";
import type { Machine } from "../platform/machine";
import { isToken, refuse } from "../problem";
import { MovingAddress, type AddressOnMachine } from "./moving-address";

/** Announced on the network segment by whoever is alive. */
export class Layer2Address extends MovingAddress {
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
    if (machines.some(({ aws }) => aws !== undefined)) {
      refuse(scope, {
        code: "virtual-ip-mode",
        what: `the virtual IP ${this.address} is to be announced on the network (layer2) of a VPC`,
        allowed: "an address that AWS's API moves: a VPC ignores what machines announce",
        fix: "VirtualIp.elastic(), VirtualIp.secondaryPrivateIp(...) or VirtualIp.routeTable(...)",
      });
    }
    if (isToken(this.cidr)) return;
    this.refuseMachines(scope, machines);
    for (const machine of machines) {
      // An IPv6 address beside IPv4 machines is on the same segment, which cannot be seen from here.
      if (
        machine.subnet === undefined ||
        isToken(machine.subnet) ||
        this.isIpv6 !== machine.subnet.includes(":")
      )
        continue;
      if (!contains(machine.subnet, this.address)) {
        refuse(scope, {
          code: "virtual-ip-outside-subnet",
          what: `the virtual IP ${this.address} is outside ${machine.subnet}, the network of ${machine.name}`,
          allowed: `a free address of ${machine.subnet}`,
          fix: "choose one, or correct the host's subnet",
        });
      }
      this.checkPrefix(scope, machine.subnet);
    }
  }

  /** Alone (/32), or with the network's own prefix; and an address that a machine can have. */
  private checkPrefix(scope: Construct, subnet: string): void {
    const [own, network] = [parseNetwork(this.cidr)!.prefix, parseNetwork(subnet)!.prefix];
    const alone = this.isIpv6 ? 128 : 32;
    if (own !== network && own !== alone) {
      refuse(scope, {
        code: "virtual-ip-prefix",
        what: `the virtual IP ${this.cidr} is in the network ${subnet}`,
        allowed: `the prefix length of the network, or /${alone}`,
        fix: `VirtualIp.layer2("${this.address}/${network}")`,
      });
    }
    if (!this.isIpv6 && network <= 30 && isEdge(subnet, this.address)) {
      refuse(scope, {
        code: "bad-address",
        what: `the virtual IP ${this.address} is the first or the last address of ${subnet}`,
        allowed: "an address between: those two mean the network itself and everybody in it",
        fix: "choose a free one between",
      });
    }
  }

  on(): AddressOnMachine {
    return { cidr: this.cidr };
  }
}
