import type { ServiceFile } from "../push/service";
import type { Secret } from "../secret/secret";
import { AwsFencing, type AwsFencingProps } from "./aws-fencing";
import { BoardFencing, type ManagementBoard } from "./board-fencing";
import type { FenceDevice } from "./cib";
import { CommandFencing, type CommandFencingProps } from "./command-fencing";
import { FenceMethod } from "./fence-method";
import { WatchdogFencing, type WatchdogFencingProps } from "./watchdog-fencing";

/** How a node that may still be writing is made to stop, before the other one begins: its power is cut. */
export class Fencing {
  /** Boards that speak IPMI 2.0, by node. A board that has its power from its own machine dies with it. */
  static ipmi(boards: Readonly<Record<string, ManagementBoard>>): Fencing {
    return new Fencing(new BoardFencing("fence_ipmilan", boards, { lanplus: "1" }));
  }

  /** Boards that speak Redfish, by node. */
  static redfish(boards: Readonly<Record<string, ManagementBoard>>): Fencing {
    return new Fencing(new BoardFencing("fence_redfish", boards, { ssl_insecure: "1" }));
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
