import { Construct } from "constructs";
import { Connections, type Connectable } from "../firewall/connections";
import { Peer } from "../firewall/peer";
import { Port } from "../firewall/port";
import { checkProps } from "../input/guard";
import { isIp } from "../net";
import type { Machine } from "../platform/machine";
import { machinesOf } from "../platform/nodes";
import { checkCount, checkRange, refuse, refuseTwice } from "../problem";
import { Rollout } from "../push/rollout";
import { Fact } from "../push/service";
import type { Secret } from "../secret/secret";
import type { ClusterTopology } from "../topology/topology";
import type { VirtualIp } from "../virtual-ip/virtual-ip";
import { ALERT_AGENT } from "./alerts";
import type { CibModel } from "./cib";
import { TOKEN, type CorosyncModel } from "./corosync-conf";
import { heldByPeer, type DrbdResourceModel } from "./drbd-resource";
import type { ExportModel } from "./exports-file";
import type { FenceMethod } from "./fence-method";
import { Fencing } from "./fencing";
import type { HaCfModel, HaresourcesModel } from "./heartbeat-files";
import { HeartbeatService, type HeartbeatSource } from "./heartbeat-service";
import {
  CLUSTER_PORT,
  DEVICE,
  DIRECTORY,
  HEARTBEAT_PORT,
  LOCK_PORT,
  MINOR,
  MOUNT_PORT,
  NFS_PORT,
  QUORUM_PORT,
  REPLICATION_PORT,
  RESOURCE,
  RPC_PORT,
  STATE,
  STATUS_PORT,
} from "./layout";
import { checkManager, heartbeatTimes, Manager } from "./manager";
import { NfsMetricsService } from "./metrics";
import type { NfsConfModel } from "./nfs-conf";
import { NfsExport, type NfsExportProps } from "./nfs-export";
import { HostName } from "./host-name";
import { checkPair, checkVolumes } from "./pair-problems";
import type { DrbdNfsPairProps } from "./pair-props";
import {
  DrbdService,
  NfsServerService,
  PacemakerService,
  ResourcesService,
  type AdoptProps,
} from "./pair-services";
import { QuorumService } from "./quorum-service";
import { UpkeepService } from "./upkeep-service";

/** What clients of version 3 ask besides. One whose machine was started anew says so by datagrams. */
const VERSION_3_PORTS = {
  "port map": Port.tcp(RPC_PORT),
  "port map by datagram": Port.udp(RPC_PORT),
  mounts: Port.tcp(MOUNT_PORT),
  locks: Port.tcp(LOCK_PORT),
  status: Port.tcp(STATUS_PORT),
  "status by datagram": Port.udp(STATUS_PORT),
};

/**
 * NFS exports that survive the loss of either server: DRBD keeps the same data on both, Pacemaker runs the NFS server on one of
 * them, and the address moves with it. The two never write at once: the third vote says who may go on, and the other one is
 * switched off before anybody takes over.
 */
export class DrbdNfsPair extends Construct implements Connectable, HeartbeatSource {
  readonly connections: Connections;
  readonly machines: readonly Machine[];
  readonly manager: Manager;
  /** Who has the third vote. Nobody, where Heartbeat is the manager. */
  readonly quorumMachine?: Machine;
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
    checkCount(this, "linkMbit", props.linkMbit, 10, 400_000, "Mbit/s");
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
    checkCount(
      this,
      "grace",
      props.grace,
      Math.max(30, props.lease ?? 10),
      3600,
      "seconds: no less than 'lease', and time for every client to come back",
    );
    checkVolumes(this, props);
    this.machines = machinesOf(this, platform, nodes, { dataVolume: props.dataVolume });
    this.manager = props.manager ?? Manager.pacemaker();
    checkManager(this, props);
    const quorum = props.quorum === undefined ? [] : machinesOf(this, platform, props.quorum);
    this.quorumMachine = quorum[0];
    checkPair(this, this.machines, quorum, props, () =>
      [...this.known.values()].filter((one) => !one.model().clients.length).map(({ name }) => name),
    );
    props.virtualIp.prepare(this, this.machines);
    props.fencing?.method.prepare(this.machines);
    this.connections = new Connections(this, {
      name: id,
      ports: { nfs: Port.tcp(NFS_PORT), ...(this.version3 ? VERSION_3_PORTS : {}) },
    });
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
    const { quorumMachine } = this;
    const { settings } = this.manager;
    return {
      kind: "DrbdNfsPair",
      path: this.node.path,
      members: [
        ...this.machines.map(({ name, zone }) => ({ name, zone, roles: ["nfs"] })),
        ...(quorumMachine ? [{ name: quorumMachine.name, zone: quorumMachine.zone, roles: ["quorum"] }] : []),
      ],
      addresses: [{ group: "main", address: this.address, mode: this.props.virtualIp.mode }],
      needs: [],
      survives: { failures: 1, of: "node" },
      timers: [
        settings
          ? {
              name: "a node is missed",
              seconds: heartbeatTimes(settings).deadtime,
              because: "the deadtime",
            }
          : {
              name: "a node is missed",
              seconds: 2.2 * this.token,
              because: `the token of ${this.token} s, and 1.2 times of it until the rest agrees on who is there`,
            },
        ...(this.offAfter === undefined
          ? []
          : [
              {
                name: "it has switched itself off",
                seconds: this.offAfter,
                because:
                  "twice the time-out of its watchdog; if it was the standby, writes are held for so long",
              },
            ]),
      ],
    };
  }

  // PairSource: asked by the services at synth

  diskOf({ aws }: Machine): string {
    return aws?.dataVolume?.device ?? this.props.disk!;
  }

  get virtualIp(): VirtualIp {
    return this.props.virtualIp;
  }

  get adopt(): AdoptProps | undefined {
    return this.props.adopt;
  }

  get founder(): string {
    return this.adopt?.node ?? this.machines[0]!.name;
  }

  get fileSystem(): "xfs" | "ext4" {
    return this.props.fileSystem ?? "xfs";
  }

  get mountOptions(): string {
    // not every kernel can count: only where it has to
    return this.exports().some(({ quotaGiB }) => quotaGiB) ? "noatime,prjquota" : "noatime";
  }

  get secret(): Secret {
    return this.props.secret;
  }

  get fencing(): FenceMethod {
    return (this.props.fencing ?? Fencing.none({ iAcceptSplitBrain: true })).method;
  }

  /** Seconds until DRBD pings a peer: where nodes are often late it is as patient as the membership, in whole thirds. */
  private get silence(): number {
    return 3 * Math.ceil(this.token / 3);
  }

  get token(): number {
    return this.props.token ?? TOKEN;
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
        disk: this.diskOf(machine),
      })),
      protocol: this.props.protocol ?? "C",
      secret: this.secret.quotable,
      silence: this.silence,
      resyncRate: this.props.resyncRate ?? Math.max(1, Math.floor(this.link / 10)),
      link: this.link,
      metaDisk: this.props.metaDisk,
      fencing: this.manager.settings
        ? "dont-care"
        : this.fencing.isCertain
          ? "resource-and-stonith"
          : "resource-only",
      // a minute for whoever is late
      fenceWithin: this.offAfter === undefined ? undefined : Math.max(90, this.offAfter + 60),
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
      quorumHost: this.quorumMachine!.privateAddress,
      quorumPort: QUORUM_PORT,
      keeper: "/bin/grep -q ro:Primary /proc/drbd",
    };
  }

  cib(): CibModel {
    const names = this.machines.map(({ name }) => name);
    return {
      nodes: names,
      fencing: this.fencing.devices(names),
      offAfter: this.offAfter,
      drbdResource: RESOURCE,
      fileSystem: {
        device: DEVICE,
        directory: DIRECTORY,
        type: this.fileSystem,
        options: this.mountOptions,
      },
      nfsState: STATE,
      pingHosts: this.pingHosts,
      virtualIp: {
        address: this.address,
        prefix: this.prefix,
        claimed: this.virtualIp.on(this.machines[0]!).claim !== undefined,
      },
      fenceDelay: this.fencing.delay,
      operationTimeout: this.operationTimeout,
      // a peer whose disk hangs must have been dropped by then
      writeWithin: Math.max(2 * this.operationTimeout, heldByPeer(this.silence) + this.operationTimeout),
      alertAgent: this.props.alerts && ALERT_AGENT,
    };
  }

  haCf(): HaCfModel {
    const settings = this.manager.settings!;
    return {
      ...heartbeatTimes(settings),
      transport: settings.transport ?? "ucast",
      port: HEARTBEAT_PORT,
      interface: Fact.INTERFACE,
      nodes: this.machines.map(({ name, privateAddress }) => ({ name, address: privateAddress })),
    };
  }

  haresources(): HaresourcesModel {
    return {
      preferred: this.machines[0]!.name,
      drbdResource: RESOURCE,
      fileSystem: {
        device: DEVICE,
        directory: DIRECTORY,
        type: this.fileSystem,
        options: this.mountOptions,
      },
      virtualIp: {
        address: this.address,
        prefix: this.prefix!, // layer 2 has one
      },
    };
  }

  nfs(): NfsConfModel {
    return {
      threads: this.props.threads ?? 16,
      lease: this.props.lease ?? 10,
      grace: this.props.grace ?? 90,
      version3: this.version3,
    };
  }

  exports(): ExportModel[] {
    // whom nobody may mount yet is in no line of the file
    return [...this.known.values()].map((one) => one.model()).filter(({ clients }) => clients.length > 0);
  }

  private get version3(): boolean {
    return this.props.version3 ?? false;
  }

  private get pingHosts(): readonly string[] {
    const { aws, privateAddress } = this.quorumMachine!;
    return this.props.pingHosts ?? (aws ? [] : [privateAddress]);
  }

  /** Of the address that moves; nothing where the machine itself does not see it. */
  private get prefix(): number | undefined {
    const { cidr } = this.virtualIp.on(this.machines[0]!);
    return cidr === undefined ? undefined : Number(cidr.split("/")[1]);
  }

  private get link(): number {
    return this.props.linkMbit ?? 1000;
  }

  private get offAfter(): number | undefined {
    return this.fencing.offAfter(this.token);
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
    const membership = Port.udp(this.manager.settings ? HEARTBEAT_PORT : CLUSTER_PORT);
    for (const machine of machines) {
      connections.addMachine(machine);
      const { privateAddress: address } = machine;
      machine.listens(this, () => [
        { port: Port.tcp(REPLICATION_PORT), address: this.replicationAddress(machine) },
        { port: membership, address },
        { port: Port.tcp(NFS_PORT) },
        ...(this.version3 ? Object.values(VERSION_3_PORTS).map((port) => ({ port })) : []),
      ]);
    }
    connections.allowInternally(membership);
    if (!secondLink) connections.allowInternally(Port.tcp(REPLICATION_PORT));
    for (const address of Object.values(secondLink ?? {})) {
      if (!isIp(address)) continue; // refused already
      connections.allowFrom(Peer.cidr(address), Port.udp(CLUSTER_PORT + 1), Port.tcp(REPLICATION_PORT));
    }
    if (!quorumMachine) return;
    // a security group is called after its place: two in one would have their names by who came first
    const votes = new Connections(new Construct(this, "vote"), { name: `${this.node.id}-quorum` });
    votes.addMachine(quorumMachine);
    quorumMachine.listens(this, () => [
      { port: Port.tcp(QUORUM_PORT), address: quorumMachine.privateAddress },
    ]);
    votes.allowFrom(connections, Port.tcp(QUORUM_PORT));
  }

  /** The third vote, then each node by itself, then what they do together. */
  private rollOut(): Rollout["last"] {
    const { machines, quorumMachine } = this;
    if (!quorumMachine) return this.rollOutHeartbeat();
    const votes = new Rollout(this, "quorum", {
      nodes: [{ machine: quorumMachine, services: [new QuorumService()] }],
    });
    const name = new HostName();
    const { verifySchedule = "Sun *-*-* 02:00", alerts, metrics } = this.props;
    const services = [
      new DrbdService(this),
      new NfsServerService(this),
      new PacemakerService(this),
      new UpkeepService({ verifySchedule, alerts }),
      ...(metrics ? [new NfsMetricsService(metrics)] : []),
    ];
    const nodes = new Rollout(this, "nodes", {
      nodes: machines.map((machine) => ({
        machine,
        services: machine.aws ? [name, ...services] : services,
      })),
      // a change that breaks a node is found out on the one that serves nobody
      standbyFirst: true,
      dependsOn: votes.last,
    });
    const resources = new ResourcesService(this);
    const [first, second] = machines;
    const founderFirst = first!.name === this.founder ? machines : [second!, first!];
    return new Rollout(this, "resources", {
      nodes: founderFirst.map((machine) => ({ machine, services: [resources] })),
      dependsOn: nodes.last,
      // a change that was taken back half way may have told the cluster something already
      dueBy: nodes.pushes.filter(({ service }) => service instanceof PacemakerService),
    }).last;
  }

  /** Each node by itself, then the one who moves things: it starts on a volume that is there. */
  private rollOutHeartbeat(): Rollout["last"] {
    const { machines } = this;
    const services = [new DrbdService(this), new NfsServerService(this)];
    const nodes = new Rollout(this, "nodes", {
      nodes: machines.map((machine) => ({ machine, services })),
      standbyFirst: true,
    });
    const heartbeat = new HeartbeatService(this);
    return new Rollout(this, "heartbeat", {
      nodes: machines.map((machine) => ({ machine, services: [heartbeat] })),
      standbyFirst: true,
      dependsOn: nodes.last,
    }).last;
  }
}
