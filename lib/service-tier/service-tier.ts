import { Construct } from "constructs";
import { Connections, type Connectable } from "../firewall/connections";
import { checkPort, Port } from "../firewall/port";
import type { HealthCheck } from "../haproxy-keepalived-pair/health-check";
import type { Balanceable, BalanceTarget } from "../haproxy-keepalived-pair/servers";
import { checkProps } from "../input/guard";
import type { Machine } from "../platform/machine";
import { machinesOf } from "../platform/nodes";
import type { Nodes, Platform } from "../platform/platform";
import type { Around } from "../push/push";
import { Rollout, type RolloutOrder } from "../push/rollout";
import type { Service } from "../push/service";
import type { ClusterTopology } from "../topology/topology";

export interface ServiceTierProps {
  readonly platform: Platform;
  readonly nodes: Nodes;
  /** On every node, in this order. None for machines whose image brings all: only their firewall is pushed. */
  readonly services: readonly Service[];
  /** Where the nodes answer. */
  readonly port: number;
  /** @default "http" */
  readonly mode?: "http" | "tcp";
  /** How a load balancer finds out whether a node can serve. @default - the load balancer's own default */
  readonly check?: HealthCheck;
  /** @default RolloutOrder.oneByOne() */
  readonly order?: RolloutOrder;
}

/**
 * Identical servers with a service of your own: an application, a web server. Load balancers that send requests to the tier
 * take a node out before it changes, wait for what is under way, and bring it back when it is healthy.
 */
export class ServiceTier extends Construct implements Connectable, Balanceable {
  readonly connections: Connections;
  readonly machines: readonly Machine[];
  /** What whoever comes after the tier depends on. */
  readonly ready: Rollout["last"];
  private readonly drains: ((server: string) => readonly Around[])[] = [];

  constructor(
    scope: Construct,
    id: string,
    private readonly props: ServiceTierProps,
  ) {
    super(scope, id);
    checkProps(this, "ServiceTierProps", props);
    this.machines = machinesOf(this, props.platform, props.nodes);
    checkPort(this, "port", props.port);
    this.connections = new Connections(this, { name: id, ports: { service: Port.tcp(props.port) } });
    for (const machine of this.machines) {
      this.connections.addMachine(machine);
      const listening = { port: Port.tcp(props.port), address: machine.privateAddress };
      // what an image brings may serve several tiers
      if (props.services.length) machine.listens(this, () => [listening]);
    }
    this.ready = new Rollout(this, "rollout", {
      nodes: this.machines.map((machine) => ({
        machine,
        services: props.services,
        around: () => this.drains.flatMap((drain) => drain(machine.name)),
      })),
      order: props.order,
    }).last;
  }

  balanceTarget(port = this.props.port): BalanceTarget {
    return {
      servers: this.machines.map(({ name, privateAddress }) => ({ name, address: privateAddress, port })),
      connections: this.connections,
      mode: this.props.mode,
      check: this.props.check,
      onDrain: (commands) => this.drains.push(commands),
    };
  }

  /** Who is there: without Terraform. */
  topology(): ClusterTopology {
    return {
      kind: "ServiceTier",
      path: this.node.path,
      members: this.machines.map(({ name, zone }) => ({
        name,
        zone,
        roles: this.props.services.map((service) => service.name),
      })),
      addresses: [],
      needs: [],
      survives: { failures: this.machines.length - 1, of: "node" },
      timers: [],
    };
  }
}
