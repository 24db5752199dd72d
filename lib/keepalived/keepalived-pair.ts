import { Construct } from "constructs";
import { Connections, type Connectable } from "../firewall/connections";
import { checkProps } from "../input/guard";
import type { Machine } from "../platform/machine";
import { machinesOf } from "../platform/nodes";
import type { Nodes, Platform } from "../platform/platform";
import { Rollout } from "../push/rollout";
import type { ClusterTopology } from "../topology/topology";
import { Keepalived } from "./keepalived";
import type { VirtualIpGroup } from "./virtual-ip-group";
import { addressesOf, timersOf } from "./topology";

export interface KeepalivedPairProps {
  readonly platform: Platform;
  /** Machines of another cluster, or hosts by name. @default - two, called after the construct's id */
  readonly nodes?: Nodes;
  /** Addresses that move together, by a name of the group. */
  readonly virtualIps: Readonly<Record<string, VirtualIpGroup>>;
  /** systemd units without which a node must not serve. @default none */
  readonly units?: readonly string[];
  /** Processes without which a node must not serve, for what systemd does not run. @default none */
  readonly processes?: readonly string[];
  /** @default - the one of the machines' sources */
  readonly packageVersion?: string;
}

/** A virtual IP for whatever runs on the machines: a balancer of another make, a proxy, a mail server. */
export class KeepalivedPair extends Construct implements Connectable {
  readonly connections: Connections;
  readonly machines: readonly Machine[];
  /** What whoever comes after the pair depends on. */
  readonly ready: Rollout["last"];

  constructor(
    scope: Construct,
    id: string,
    private readonly props: KeepalivedPairProps,
  ) {
    super(scope, id);
    checkProps(this, "KeepalivedPairProps", props);
    this.machines = machinesOf(this, props.platform, props.nodes ?? [`${id}-1`, `${id}-2`]);
    this.connections = new Connections(this, { name: id });
    for (const machine of this.machines) this.connections.addMachine(machine);
    const keepalived = new Keepalived(this, "keepalived", {
      machines: this.machines,
      groups: props.virtualIps,
      connections: this.connections,
      units: props.units,
      processes: props.processes,
      packageVersion: props.packageVersion,
    });
    this.ready = new Rollout(this, "rollout", {
      nodes: this.machines.map((machine) => ({ machine, services: [keepalived] })),
      standbyFirst: true,
      // without the units that it tracks keepalived would be in FAULT, and its push fail
      dependsOn: this.machines.flatMap(({ pushes }) => pushes.map(({ resource }) => resource)),
    }).last;
  }

  /** Who is there, and how long a failover takes: without Terraform. */
  topology(): ClusterTopology {
    return {
      kind: "KeepalivedPair",
      path: this.node.path,
      members: this.machines.map(({ name, zone }) => ({ name, zone, roles: ["virtual-ip"] })),
      addresses: addressesOf(this.props.virtualIps),
      needs: [],
      survives: { failures: this.machines.length - 1, of: "node" },
      timers: timersOf(this.props.virtualIps),
    };
  }
}
