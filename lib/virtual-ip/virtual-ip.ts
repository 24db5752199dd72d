import { ElasticAddress, RoutedAddress, SecondaryPrivateAddress } from "./aws-addresses";
import { Layer2Address } from "./layer2-address";
import type { MovingAddress } from "./moving-address";

/** An address that belongs to whichever node is alive; and how it moves. */
export type VirtualIp = MovingAddress;

/** The ways in which an address can move. */
export const VirtualIp = {
  /**
   * Announced by gratuitous ARP, or by neighbour advertisements for IPv6: for machines on one network segment on which
   * anybody may announce an address (in no cloud).
   * @param address with the prefix length of its network: `10.0.1.90/27`
   */
  layer2(address: string): VirtualIp {
    return new Layer2Address(address);
  },

  /**
   * AWS: a public (elastic) address, across zones. AWS itself takes 1 to 6 s to move it.
   * @param existing an address that you have already; a new one by default
   */
  elastic(existing?: { readonly allocationId: string; readonly address: string }): VirtualIp {
    return new ElasticAddress(existing);
  },

  /**
   * AWS: a second private address, between nodes of one subnet, so of one zone.
   * @param address a free one of the subnet, without a prefix length
   * @param props.reserve keeps AWS from giving the address to another interface of the subnet while nobody holds it. False
   *   where the subnet has a reservation for it already. True by default.
   */
  secondaryPrivateIp(address: string, props: { readonly reserve?: boolean } = {}): VirtualIp {
    return new SecondaryPrivateAddress(address, props.reserve ?? true);
  },

  /**
   * AWS: an address outside of the VPC's network to which its route tables lead: across zones, from inside the VPC.
   * @param props.routeTableIds the tables of every subnet with clients
   */
  routeTable(address: string, props: { readonly routeTableIds: readonly string[] }): VirtualIp {
    return new RoutedAddress(address, props.routeTableIds);
  },
};
