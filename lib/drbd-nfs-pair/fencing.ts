import type { ServiceFile } from "../push/service";
import type { Secret } from "../secret/secret";
import { AgentFencing, type AgentSwitch } from "./agent-fencing";
import { AwsFencing, type AwsFencingProps } from "./aws-fencing";
import type { FenceDevice } from "./cib";
import { CommandFencing, type CommandFencingProps } from "./command-fencing";
import { FenceMethod } from "./fence-method";
import { IpmiFencing, type IpmiBoard } from "./ipmi-fencing";
import { LibvirtFencing, type LibvirtDomain } from "./libvirt-fencing";
import { RedfishFencing, type RedfishBoard } from "./redfish-fencing";
import { WatchdogFencing, type WatchdogFencingProps } from "./watchdog-fencing";

/** How a node that may still be writing is made to stop, before the other one begins: its power is cut. */
export class Fencing {
  /** Boards that speak IPMI 2.0, by node. A board that has its power from its own machine dies with it. */
  static ipmi(boards: Readonly<Record<string, IpmiBoard>>): Fencing {
    return new Fencing(new IpmiFencing(boards));
  }

  /** Boards that speak Redfish, by node. */
  static redfish(boards: Readonly<Record<string, RedfishBoard>>): Fencing {
    return new Fencing(new RedfishFencing(boards));
  }

  /**
   * Virtual machines of libvirt's, by node: each one's hypervisor is told by SSH to destroy it. A hypervisor that is down says nothing, so that nobody
   * takes over from its domain before an operator has confirmed that it is off (`stonith_admin --confirm NODE`).
   */
  static libvirt(domains: Readonly<Record<string, LibvirtDomain>>): Fencing {
    return new Fencing(new LibvirtFencing(domains));
  }

  /**
   * Another agent of Debian's package fence-agents, by node: `fence_pve`, `fence_vmware_rest`, an outlet's. What it says is off is believed: try it first on a
   * node that is up, one that is off, one that is suspended (never suspend a node: to many agents it is off, and it comes back as it was), one that does not exist.
   * @param packages What the agent calls, where fence-agents does without it: `snmp`, `telnet`, `openssh-client`, `gnutls-bin`
   */
  static agent(
    agent: string,
    switches: Readonly<Record<string, AgentSwitch>>,
    packages: readonly string[] = [],
  ): Fencing {
    return new Fencing(new AgentFencing(agent, switches, packages));
  }

  /** AWS: each node stops the other one's instance by its own role, which allows nothing else, and starts it again. */
  static aws(props: AwsFencingProps = {}): Fencing {
    return new Fencing(new AwsFencing(props));
  }

  /**
   * Nobody else switches a node off: it does so itself, by its watchdog, when it has lost the quorum or its cluster software hangs (SBD without a
   * disk). For machines whose power nothing else can be asked to cut. The other node waits until that has certainly happened.
   */
  static watchdog(props: WatchdogFencingProps = {}): Fencing {
    return new Fencing(new WatchdogFencing(props));
  }

  /** A program of your own that switches each node's power. */
  static command(props: CommandFencingProps): Fencing {
    return new Fencing(new CommandFencing(props));
  }

  /** Nobody is switched off. What can be lost then is told at every synth. */
  static none(_accept: { readonly iAcceptSplitBrain: true }): Fencing {
    return new Fencing(new NoFencing());
  }

  private constructor(
    /** What it is to its pair. */
    readonly method: FenceMethod,
  ) {}
}

class NoFencing extends FenceMethod {
  override readonly isCertain = false;
  readonly secrets: readonly Secret[] = [];

  check(): void {
    // accepted
  }

  devices(): FenceDevice[] {
    return [];
  }

  files(): ServiceFile[] {
    return [];
  }
}
