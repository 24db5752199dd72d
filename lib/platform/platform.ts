import type { Construct, IConstruct } from "constructs";
import type { NetworkGate } from "../firewall/connections";
import type { Peer } from "../firewall/peer";
import type { Rule } from "../firewall/rule-set";
import type { Carrier } from "../push/carrier";
import type { DataVolume } from "./aws/data-volume";
import type { MachineImage } from "./aws/machine-image";
import type { Machine } from "./machine";

/** Where one node of a cluster runs. */
export interface NodeProps {
  /**
   * Zone of the platform: an AWS subnet's key, an SSH host's zone.
   * @default - the platform's zones in turn, by the node's place in the list; the host's own zone on SSH
   */
  readonly zone?: string;
  /** EC2 instance type; not for the SSH platform. @default - the platform's */
  readonly instanceType?: string;
  /** Fixed private address on AWS, inside the zone's subnet. @default - AWS chooses, and the interface keeps it */
  readonly privateAddress?: string;
  /**
   * The node's own AMI on AWS: a change replaces the node. Change one node, apply, and go on with the next.
   * @default - the platform's image at the time the instance was made; a newer one never replaces it
   */
  readonly image?: MachineImage;
  /** A volume on AWS that outlives the instance and moves to the one that replaces it. @default - none */
  readonly dataVolume?: DataVolume;
}

/** Machines from somewhere: EC2, or hosts that exist already. */
export interface Platform extends IConstruct {
  /** Zone names, in the order in which nodes are spread over them. */
  readonly zones: readonly string[];
  /** Do machines exist already, so that their zone is a fact and no choice? */
  readonly placesByHost: boolean;
  /** Who may connect by SSH. */
  readonly admins: readonly Peer[];
  /** Where machines may connect to beyond what constructs declare; nothing means everywhere. */
  readonly outgoing: readonly Rule[] | undefined;
  /** Does each machine have a firewall of its own, beside the platform's? */
  readonly hostFirewall: boolean;
  /** Seconds in which Terraform must confirm a change of that firewall over a new connection; else it goes back. */
  readonly firewallConfirmWithin: number;
  /** What the platform has in front of its machines. */
  readonly gate?: NetworkGate;
  readonly carrier: Carrier;

  /** Name of the machine that has this address as its own, as far as the code knows. */
  holderOf?(address: string): string | undefined;

  /** The machine of this name; on AWS a new one, below `scope`. */
  machine(scope: Construct, name: string, props: NodeProps): Machine;
}

/** Nodes by name, or just their names; or machines that are there already, to put a second service on them. */
export type Nodes = Readonly<Record<string, NodeProps | Machine>> | readonly string[];
