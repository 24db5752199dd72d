import type { ITerraformDependable } from "cdktf";
import { Construct } from "constructs";
import { checkProps } from "../input/guard";
import type { Machine } from "../platform/machine";
import { refuse } from "../problem";
import { Completion, Push, type Around } from "./push";
import type { Service } from "./service";

/** In which groups the nodes of a cluster are changed. A group begins when every node of the one before is healthy. */
export class RolloutOrder {
  /** The safest: never more than one node is being changed. */
  static oneByOne(): RolloutOrder {
    return new RolloutOrder(1);
  }

  /** Maintenance mode: one half of the nodes serves while the other one changes. */
  static halves(): RolloutOrder {
    return new RolloutOrder("half");
  }

  /** Groups of this many nodes. */
  static batches(size: number): RolloutOrder {
    if (!(Number.isInteger(size) && size >= 1)) {
      refuse("RolloutOrder.batches", {
        code: "number-out-of-range",
        what: `batches of ${size}`,
        allowed: "a whole number from 1 on",
        fix: "1 changes node after node",
      });
    }
    return new RolloutOrder(size);
  }

  /** For nodes that serve nobody yet, or that may all be gone at once. */
  static allAtOnce(): RolloutOrder {
    return new RolloutOrder("all");
  }

  private constructor(private readonly size: number | "half" | "all") {}

  /** The nodes in their groups. */
  groups<Node>(nodes: readonly Node[]): Node[][] {
    const size =
      this.size === "all" ? nodes.length : this.size === "half" ? Math.ceil(nodes.length / 2) : this.size;
    const groups: Node[][] = [];
    for (let start = 0; start < nodes.length; start += size) groups.push(nodes.slice(start, start + size));
    return groups;
  }
}

export interface RolloutNode {
  readonly machine: Machine;
  /** In this order on the node. */
  readonly services: readonly Service[];
  /** Commands on other machines, before and after this node changes. Asked at synth. @default none */
  readonly around?: () => readonly Around[];
}

export interface RolloutProps {
  readonly nodes: readonly RolloutNode[];
  /** @default RolloutOrder.oneByOne() */
  readonly order?: RolloutOrder;
  /**
   * The node that serves (by its service's `active` hook) is changed last, whichever it is when the change arrives: a
   * change that a standby cannot live with never reaches it.
   * @default false
   */
  readonly standbyFirst?: boolean;
  /** What has to be there before the first node is touched. @default nothing */
  readonly dependsOn?: readonly ITerraformDependable[];
  /** Pushes of which each makes all of this due again, however it came to run. @default none */
  readonly dueBy?: readonly Push[];
}

/**
 * Brings services onto the nodes of a cluster, group by group. The chain stops at the first node that does not become
 * healthy, which has gone back to its last good version by then; the next apply goes on from there.
 */
export class Rollout extends Construct {
  /** Every push, in order. */
  readonly pushes: readonly Push[];
  /** What whoever comes after the whole rollout depends on. */
  readonly last: readonly ITerraformDependable[];

  constructor(scope: Construct, id: string, props: RolloutProps) {
    super(scope, id);
    checkProps(this, "RolloutProps", props);
    const { nodes, order = RolloutOrder.oneByOne(), standbyFirst = false } = props;
    if (!nodes.length) {
      refuse(this, {
        code: "empty-rollout",
        what: "no nodes",
        allowed: "one node at least",
        fix: "name the nodes of the cluster",
      });
    }
    const pushes: Push[] = [];
    const groups = order.groups(nodes);
    let previous: readonly ITerraformDependable[] = props.dependsOn ?? [];
    groups.forEach((group, index) => {
      const waits = standbyFirst && index < groups.length - 1;
      const ends = group.map((node) => {
        const mine = this.pushNode(node, previous, waits, props.dueBy);
        pushes.push(...mine);
        return (mine.at(-1) ?? node.machine.base).resource;
      });
      previous = ends;
    });
    if (standbyFirst) {
      for (const { machine } of groups.slice(0, -1).flat()) {
        const waiting = pushes.filter((push) => push.machine === machine);
        const completion = new Completion(this, `${machine.name}-complete`, {
          machine,
          pushes: waiting,
          dependsOn: previous,
        });
        previous = [completion.resource];
      }
    }
    this.pushes = pushes;
    this.last = previous;
  }

  /** The services of one node, one after the other. */
  private pushNode(
    node: RolloutNode,
    previous: readonly ITerraformDependable[],
    defer: boolean,
    dueBy?: readonly Push[],
  ): Push[] {
    const { machine, services, around } = node;
    let before = previous;
    return services.map((service) => {
      machine.register(this, service);
      const push = new Push(this, `${machine.name}-${service.name}`, {
        machine,
        service,
        dependsOn: before,
        defer,
        around,
        dueBy,
      });
      machine.pushes.push(push);
      before = [push.resource];
      return push;
    });
  }
}
