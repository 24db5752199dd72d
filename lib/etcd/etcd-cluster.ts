import { Construct } from "constructs";
import { Connections, type Connectable } from "../firewall/connections";
import { Port } from "../firewall/port";
import { checkProps } from "../input/guard";
import { compareNames } from "../names";
import { bracketed } from "../net";
import type { DataVolume } from "../platform/aws/data-volume";
import type { Machine } from "../platform/machine";
import { machinesOf } from "../platform/nodes";
import type { Nodes, Platform } from "../platform/platform";
import { refuse, warn } from "../problem";
import { Rollout, RolloutOrder } from "../push/rollout";
import { checkCertificate } from "../secret/certificate";
import type { ClusterTopology } from "../topology/topology";
import { CLIENT_PORT, peerPorts } from "./etcd-environment";
import {
  DATA_ROOT,
  etcdCertificateService,
  EtcdService,
  EtcdUsersService,
  type EtcdSource,
} from "./etcd-service";
import type { EtcdTls } from "./tls";

export interface EtcdClusterProps {
  readonly platform: Platform;
  /** One, three, five or seven. */
  readonly nodes: Nodes;
  /**
   * On AWS: a volume for what each member knows, apart from its instance, mounted at /var/lib/etcd.
   * @default - it is on the root volume and goes with the instance
   */
  readonly dataVolume?: DataVolume;
  /**
   * Encrypted connections between members and from those who use the cluster, who show a certificate. Each set may write below its own name
   * only: sets need not trust each other.
   * @default - none: whoever reaches a member may write everything
   */
  readonly tls?: EtcdTls;
}

/** Users of etcd's own. */
const RESERVED: readonly string[] = ["root", "guest"];

/**
 * An etcd cluster: who leads other clusters is agreed on here. Members join and leave one at a time, by an apply. What is in
 * it can be made again by those who use it; there is no backup.
 */
export class EtcdCluster extends Construct implements Connectable, EtcdSource {
  readonly connections: Connections;
  /** In the order in which they begin and change: by name. */
  readonly machines: readonly Machine[];
  /** What whoever uses the cluster depends on. */
  readonly ready: Rollout["last"];
  readonly tls?: EtcdTls;
  private readonly claims = new Map<string, string>();

  constructor(scope: Construct, id: string, props: EtcdClusterProps) {
    super(scope, id);
    checkProps(this, "EtcdClusterProps", props);
    this.tls = props.tls;
    const machines = machinesOf(this, props.platform, props.nodes, {
      dataVolume: props.dataVolume,
      dataDirectory: DATA_ROOT,
    });
    this.machines = [...machines].sort((a, b) => compareNames(a.name, b.name));
    this.checkNumber();
    this.checkTls();
    const ports = [CLIENT_PORT, ...peerPorts(this.tls?.mode ?? "none")].map((port) => Port.tcp(port));
    // firewalls change before a member says that it does not go along
    const open = [CLIENT_PORT, ...peerPorts(this.tls ? "optional" : "none")].map((port) => Port.tcp(port));
    this.connections = new Connections(this, { name: id });
    for (const machine of this.machines) {
      this.connections.addMachine(machine);
      const { privateAddress: address } = machine;
      machine.listens(this, () => ports.map((port) => ({ port, address })));
    }
    if (this.machines.length > 1) {
      this.connections.allowInternally(...open);
    }
    this.ready = this.rollOut();
    this.warnOfZones();
  }

  private rollOut(): Rollout["last"] {
    const { machines, tls } = this;
    const service = new EtcdService(this);
    // every firewall lets the new member in before it asks the others
    const kept = machines.flatMap((machine) => machine.keep(this, DATA_ROOT));
    const users = new EtcdUsersService(this);
    const dependsOn = tls
      ? new Rollout(this, "users", {
          nodes: machines.map((machine) => ({ machine, services: [users] })),
          order: RolloutOrder.allAtOnce(),
          dependsOn: kept,
        }).last
      : kept;
    return new Rollout(this, "rollout", {
      nodes: machines.map((machine) => ({
        machine,
        services: [service, ...(tls?.authority ? [etcdCertificateService()] : [])],
      })),
      dependsOn,
    }).last;
  }

  /** `ADDRESS:2379`, of every member. */
  get hosts(): string[] {
    return this.machines.map(({ privateAddress }) => `${bracketed(privateAddress)}:${CLIENT_PORT}`);
  }

  /** Members that may fail with a quorum left. */
  get tolerance(): number {
    return Math.floor((this.machines.length - 1) / 2);
  }

  /** A name under which somebody keeps what is its own: two of one name would be one, and each other's members. */
  claim(name: string, by: Construct): void {
    const other = this.claims.get(name);
    if (other !== undefined) {
      refuse(by, {
        code: "duplicate-name",
        what: `'${name}', which ${other} keeps in the same etcd`,
        allowed: "a name of its own for each set that shares an EtcdCluster",
        fix: "give one of them another 'name'; what lives already keeps the one it has",
      });
    }
    if (this.tls && (RESERVED.includes(name) || this.machines.some((machine) => machine.name === name))) {
      refuse(by, {
        code: "duplicate-name",
        what: `'${name}', as a member of etcd or a user of etcd's own is called`,
        allowed: "another name: etcd knows by the name in its certificate who somebody is",
        fix: "give the set another 'name'",
      });
    }
    this.claims.set(name, by.node.path);
  }

  /** Who keeps something here. */
  get users(): readonly string[] {
    return [...this.claims.keys()].sort();
  }

  /** Lets a group of machines use the cluster. */
  allowFrom(group: Connectable | Connections): void {
    this.connections.allowFrom(group, Port.tcp(CLIENT_PORT));
  }

  /** Who is there: without Terraform. */
  topology(): ClusterTopology {
    return {
      kind: "EtcdCluster",
      path: this.node.path,
      members: this.machines.map(({ name, zone }) => ({ name, zone, roles: ["etcd"] })),
      addresses: [],
      needs: [],
      survives: { failures: this.tolerance, of: "node" },
      timers: [
        {
          name: "another member leads",
          seconds: 4,
          because: "an election begins after 2 s without a heartbeat, at random up to twice of it",
        },
      ],
    };
  }

  private checkNumber(): void {
    const { length } = this.machines;
    if (length % 2 === 1 && length <= 7) return;
    refuse(this, {
      code: "even-etcd",
      what: `etcd has ${length} members`,
      allowed: `1, 3, 5 or 7: a quorum of ${length} is ${Math.floor(length / 2) + 1}, which survives no more failures than ${length - 1} members do`,
      fix: `take one away, or add one in another zone`,
    });
  }

  private checkTls(): void {
    const { tls, machines } = this;
    if (!tls) return;
    if (tls.authority) checkCertificate(this, tls.authority);
    tls.checkNodes(
      this,
      machines.map(({ name }) => name),
    );
    const reserved = machines.find(({ name }) => RESERVED.includes(name));
    if (!reserved) return;
    refuse(this, {
      code: "bad-name",
      what: `member '${reserved.name}' of an etcd with 'tls'`,
      allowed: "another name: etcd has a user of that name",
      fix: "rename it",
    });
  }

  /** A zone with a majority takes the quorum with it. */
  private warnOfZones(): void {
    const zones = this.machines.map(({ zone }) => zone);
    if (new Set(zones).size < 2) return; // told already, as one zone
    for (const zone of new Set(zones)) {
      const here = zones.filter((other) => other === zone).length;
      if (zone === undefined || here <= this.tolerance) continue;
      warn(this, {
        code: "quorum-in-one-zone",
        what: `${here} of ${zones.length} members of etcd are in zone '${zone}'`,
        allowed: `at most ${this.tolerance} in a zone: without it the others are no quorum, and nobody may lead`,
        fix: "spread the members over three zones; the third one needs no more than a small machine",
      });
    }
  }
}
