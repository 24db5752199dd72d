import { Construct } from "constructs";
import { Connections, type Connectable } from "../firewall/connections";
import { Peer } from "../firewall/peer";
import { Port } from "../firewall/port";
import { checkProps } from "../input/guard";
import { isIp, parseNetwork } from "../net";
import type { Machine } from "../platform/machine";
import { machinesOf } from "../platform/nodes";
import type { Nodes, Platform } from "../platform/platform";
import { checkCount, checkRange, refuse, refuseTwice } from "../problem";
import { Rollout } from "../push/rollout";
import type { Secret } from "../secret/secret";
import type { ClusterTopology } from "../topology/topology";
import type { VirtualIp } from "../virtual-ip/virtual-ip";
import type { CibModel } from "./cib";
import type { CorosyncModel } from "./corosync-conf";
import type { DrbdResourceModel, ReplicationProtocol } from "./drbd-resource";
import type { ExportModel } from "./exports-file";
import type { Fencing } from "./fencing";
import {
  CLUSTER_PORT,
  DEVICE,
  DIRECTORY,
  MINOR,
  NFS_PORT,
  QUORUM_PORT,
  REPLICATION_PORT,
  RESOURCE,
  STATE,
} from "./layout";
import type { NfsConfModel } from "./nfs-conf";
import { NfsExport, type NfsExportProps } from "./nfs-export";
import { checkPair } from "./pair-problems";
import {
  DrbdService,
  NfsServerService,
  PacemakerService,
  ResourcesService,
  type PairSource,
} from "./pair-services";
import { QuorumService } from "./quorum-service";

export interface DrbdNfsPairProps {
  readonly platform: Platform;
  /** Two, in two zones. On hosts, called as the hosts call themselves. @default - called after the construct's id: `files-1` and `files-2` */
  readonly nodes?: Nodes;
  /**
   * The machine with the third vote, in a third zone: which node goes on when the two do not see each other is decided there.
   * It keeps no data and needs next to nothing.
   */
  readonly quorum: Nodes;
  /** How a node is made to stop for certain before the other one takes over. */
  readonly fencing: Fencing;
  /** What clients mount from. `VirtualIp.layer2`. */
  readonly virtualIp: VirtualIp;
  /** Block device of each node, of the same size, that holds nothing else: `/dev/vg0/nfs`. */
  readonly disk: string;
  /** What the nodes prove to know to each other: 16 to 64 characters. It cannot be changed while the pair runs. */
  readonly secret: Secret;
  readonly exports: readonly NfsExportProps[];
  /** Made once, on an empty disk. @default "xfs" */
  readonly fileSystem?: "xfs" | "ext4";
  /**
   * What a write waits for: `C` the other node's disk, `B` its memory, `A` nobody. By B and A what was acknowledged can be lost.
   * @default "C"
   */
  readonly protocol?: ReplicationProtocol;
  /** MiB/s at most while a copy catches up, so that clients have the rest of the link. @default 100 - most of a link of 1 Gbit/s */
  readonly resyncRate?: number;
  /**
   * Addresses of a second network between the nodes, by node: DRBD replicates over it, and who is alive is seen there too when
   * the first one fails. So a node whose clients' network is gone can hand the service over, with every write.
   * @default - none: everything goes over the first one
   */
  readonly secondLink?: Readonly<Record<string, string>>;
  /**
   * Addresses that answer pings, on the clients' side: of two nodes the one that reaches more of them serves. Where neither reaches
   * any, nothing moves.
   * @default - the quorum host's
   */
  readonly pingHosts?: readonly string[];
  /** Seconds of silence after which a node counts as lost. @default 3 - shorter ones switch off nodes that are only busy */
  readonly token?: number;
  /** Seconds in which starting or stopping one thing must be done; longer ones count as failed. @default 60 */
  readonly operationTimeout?: number;
  /** Of the NFS server: requests at a time. @default 16 */
  readonly threads?: number;
  /** Seconds that a silent client keeps its locks, and has for claiming them again after a failover. @default 10 - of the kernel's 90 clients would wait all after each failover */
  readonly lease?: number;
}

/**
 * NFS exports that survive the loss of either server: DRBD keeps the same data on both, Pacemaker runs the NFS server on one of
 * them, and the address moves with it. The two never write at once: the third vote says who may go on, and the other one is
 * switched off before anybody takes over.
 */
export class DrbdNfsPair extends Construct implements Connectable, PairSource {
  readonly connections: Connections;
  readonly machines: readonly Machine[];
  readonly quorumMachine: Machine;
  /** What whoever comes after the pair depends on. */
  readonly ready: Rollout["last"];
  private readonly known = new Map<string, NfsExport>();

  constructor(
    scope: Construct,
    id: string,
    private readonly props: DrbdNfsPairProps,
  ) {
    super(scope, id);
    checkProps(this, "DrbdNfsPairProps", props);
    const { platform, nodes = [`${id}-1`, `${id}-2`] } = props;
    checkCount(this, "resyncRate", props.resyncRate, 1, 4000, "MiB/s");
    checkRange(
      this,
      "token",
      props.token,
      1,
      60,
      "seconds; a node that is only busy is silent for a second or so",
    );
    checkCount(this, "operationTimeout", props.operationTimeout, 20, 600, "seconds");
    checkCount(this, "threads", props.threads, 1, 1024, "threads of the kernel's");
    checkCount(this, "lease", props.lease, 10, 120, "seconds; the kernel takes no less than 10");
    this.machines = machinesOf(this, platform, nodes);
    const quorum = machinesOf(this, platform, props.quorum);
    this.quorumMachine = quorum[0]!;
    checkPair(this, this.machines, quorum, props);
    this.connections = new Connections(this, { name: id, ports: { nfs: Port.tcp(NFS_PORT) } });
    this.openPorts();
    for (const one of props.exports) this.addExport(one);
    this.ready = this.rollOut();
  }

  /** What clients mount from: the address that moves. */
  get address(): string {
    return this.props.virtualIp.address;
  }

  /** An export by its name, for whoever mounts it. */
  export(name: string): NfsExport {
    const found = this.known.get(name);
    if (found) return found;
    return refuse(this, {
      code: "unknown-export",
      what: `export '${name}'`,
      allowed: [...this.known.keys()].join(", "),
      fix: `name one of these, or add { name: "${name}" } to 'exports'`,
    });
  }

  /** Who is there, and how long a failover takes: without Terraform. */
  topology(): ClusterTopology {
    return {
      kind: "DrbdNfsPair",
      path: this.node.path,
      members: [
        ...this.machines.map(({ name, zone }) => ({ name, zone, roles: ["nfs"] })),
        { name: this.quorumMachine.name, zone: this.quorumMachine.zone, roles: ["quorum"] },
      ],
      addresses: [{ group: "main", address: this.address, mode: this.props.virtualIp.mode }],
      needs: [],
      survives: { failures: 1, of: "node" },
      timers: [
        {
          name: "a node is missed",
          seconds: 2.2 * this.token,
          because: `the token of ${this.token} s, and 1.2 times of it until the rest agrees on who is there`,
        },
      ],
    };
  }

  // PairSource: asked by the services at synth

  get disk(): string {
    return this.props.disk;
  }

  get fileSystem(): "xfs" | "ext4" {
    return this.props.fileSystem ?? "xfs";
  }

  get secret(): Secret {
    return this.props.secret;
  }

  get fencing(): Fencing {
    return this.props.fencing;
  }

  get operationTimeout(): number {
    return this.props.operationTimeout ?? 60;
  }

  drbd(): DrbdResourceModel {
    return {
      version: "8.4",
      name: RESOURCE,
      minor: MINOR,
      port: REPLICATION_PORT,
      nodes: this.machines.map((machine) => ({
        name: machine.name,
        address: this.replicationAddress(machine),
        disk: this.disk,
      })),
      protocol: this.props.protocol ?? "C",
      secret: this.secret.quotable,
      resyncRate: this.props.resyncRate ?? 100,
      fenced: this.fencing.isCertain,
    };
  }

  corosync(): CorosyncModel {
    const { secondLink } = this.props;
    return {
      cluster: this.node.id,
      nodes: this.machines.map(({ name, privateAddress }) => ({
        name,
        addresses: [privateAddress, ...(secondLink ? [secondLink[name]!] : [])],
      })),
      port: CLUSTER_PORT,
      token: Math.round(1000 * this.token),
      quorumHost: this.quorumMachine.privateAddress,
      quorumPort: QUORUM_PORT,
      keeper: "/bin/grep -q ro:Primary /proc/drbd",
    };
  }

  cib(): CibModel {
    const names = this.machines.map(({ name }) => name);
    return {
      nodes: names,
      fencing: this.fencing.devices(names),
      drbdResource: RESOURCE,
      fileSystem: { device: DEVICE, directory: DIRECTORY, type: this.fileSystem },
      nfsState: STATE,
      pingHosts: this.props.pingHosts ?? [this.quorumMachine.privateAddress],
      virtualIp: {
        address: this.address,
        prefix: parseNetwork(this.props.virtualIp.on(this.machines[0]!).cidr!)!.prefix,
      },
      operationTimeout: this.operationTimeout,
    };
  }

  nfs(): NfsConfModel {
    return { threads: this.props.threads ?? 16, lease: this.props.lease ?? 10 };
  }

  exports(): ExportModel[] {
    // whom nobody may mount yet is in no line of the file
    return [...this.known.values()].map((one) => one.model()).filter(({ clients }) => clients.length > 0);
  }

  private get token(): number {
    return this.props.token ?? 3;
  }

  private replicationAddress({ name, privateAddress }: Machine): string {
    return this.props.secondLink?.[name] ?? privateAddress;
  }

  private addExport(props: NfsExportProps): void {
    refuseTwice(this, "export", this.known, props.name);
    const one = new NfsExport(this, props);
    const same = [...this.known.values()].find(({ fsid }) => fsid === one.fsid);
    if (same) {
      refuse(this, {
        code: "fsid-clash",
        what: `'${one.name}' and '${same.name}' both have the fsid ${one.fsid}`,
        allowed: "one of its own for each: clients would take one for the other",
        fix: "leave 'fsid' out",
      });
    }
    this.known.set(props.name, one);
  }

  private openPorts(): void {
    const { machines, connections, quorumMachine } = this;
    const { secondLink } = this.props;
    for (const machine of machines) {
      connections.addMachine(machine);
      const { privateAddress: address } = machine;
      machine.listens(this, () => [
        { port: Port.tcp(REPLICATION_PORT), address: this.replicationAddress(machine) },
        { port: Port.udp(CLUSTER_PORT), address },
        { port: Port.tcp(NFS_PORT) },
      ]);
    }
    connections.allowInternally(Port.udp(CLUSTER_PORT));
    if (!secondLink) connections.allowInternally(Port.tcp(REPLICATION_PORT));
    for (const address of Object.values(secondLink ?? {})) {
      if (!isIp(address)) continue; // refused already
      connections.allowFrom(Peer.cidr(address), Port.udp(CLUSTER_PORT + 1), Port.tcp(REPLICATION_PORT));
    }
    const votes = new Connections(this, { name: `${this.node.id}-quorum` });
    votes.addMachine(quorumMachine);
    quorumMachine.listens(this, () => [
      { port: Port.tcp(QUORUM_PORT), address: quorumMachine.privateAddress },
    ]);
    votes.allowFrom(connections, Port.tcp(QUORUM_PORT));
  }

  /** The third vote, then each node by itself, then what they do together. */
  private rollOut(): Rollout["last"] {
    const { machines, quorumMachine } = this;
    const votes = new Rollout(this, "quorum", {
      nodes: [{ machine: quorumMachine, services: [new QuorumService()] }],
    });
    const services = [new DrbdService(this), new NfsServerService(this), new PacemakerService(this)];
    const nodes = new Rollout(this, "nodes", {
      nodes: machines.map((machine) => ({ machine, services })),
      // a change that breaks a node is found out on the one that serves nobody
      standbyFirst: true,
      dependsOn: votes.last,
    });
    const resources = new ResourcesService(this);
    return new Rollout(this, "resources", {
      nodes: machines.map((machine) => ({ machine, services: [resources] })),
      dependsOn: nodes.last,
    }).last;
  }
}
