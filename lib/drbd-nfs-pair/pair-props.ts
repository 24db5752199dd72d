import type { DataVolume } from "../platform/aws/data-volume";
import type { Nodes, Platform } from "../platform/platform";
import type { Secret } from "../secret/secret";
import type { VirtualIp } from "../virtual-ip/virtual-ip";
import type { NfsAlertsProps } from "./alerts";
import type { ReplicationProtocol } from "./drbd-resource";
import type { Fencing } from "./fencing";
import type { Manager } from "./manager";
import type { NfsMetricsProps } from "./metrics";
import type { NfsExportProps } from "./nfs-export";
import type { AdoptProps } from "./pair-services";

export interface DrbdNfsPairProps {
  readonly platform: Platform;
  /** Two, in two zones. On hosts, called as the hosts call themselves. @default - called after the construct's id: `files-1` and `files-2` */
  readonly nodes?: Nodes;
  /**
   * The machine with the third vote, in a third zone: which node goes on when the two do not see each other is decided there.
   * It keeps no data and needs next to nothing. @default - none: an error, unless the manager is Heartbeat
   */
  readonly quorum?: Nodes;
  /** How a node is made to stop for certain before the other one takes over. @default - none: an error, unless the manager is Heartbeat */
  readonly fencing?: Fencing;
  /** What decides which node serves. @default Manager.pacemaker() - with `Manager.heartbeat` both may write at once */
  readonly manager?: Manager;
  /** What clients mount from. On AWS `VirtualIp.routeTable`, between zones. */
  readonly virtualIp: VirtualIp;
  /** Block device of each host, of the same size, that holds nothing else: `/dev/vg0/nfs`. @default - `dataVolume`, on AWS */
  readonly disk?: string;
  /** AWS: each node's own volume, which outlives its instance. @default - `disk`, on hosts */
  readonly dataVolume?: DataVolume;
  /** Block device of each node for DRBD's own notes: 32 MiB for each TiB of `disk`, and 1 MiB. @default - the end of `disk` */
  readonly metaDisk?: string;
  /**
   * Takes over a single server's data: its file system is on the `disk` of one node, unmounted, and stays. DRBD's notes need
   * room behind it (make the disk larger first), or a `metaDisk`.
   * @default - both disks are empty: one that holds something is refused
   */
  readonly adopt?: AdoptProps;
  /** What the nodes prove to know to each other: 16 to 64 characters. Another one is taken over by an apply, while the pair serves. */
  readonly secret: Secret;
  readonly exports: readonly NfsExportProps[];
  /** Made once, on an empty disk. @default "xfs" */
  readonly fileSystem?: "xfs" | "ext4";
  /**
   * What a write waits for: `C` the other node's disk, `B` its memory, `A` nobody. By B and A what was acknowledged can be lost.
   * @default "C"
   */
  readonly protocol?: ReplicationProtocol;
  /** Mbit/s of the link between the nodes. @default 1000 */
  readonly linkMbit?: number;
  /** MiB/s at most while a copy catches up, so that clients have the rest of the link. @default - a tenth of `linkMbit`: five sixths of the link */
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
   * @default - the quorum host's; on AWS none: its security groups let no ping through
   */
  readonly pingHosts?: readonly string[];
  /** Seconds of silence after which a node counts as lost. @default 3 - shorter ones switch off nodes that are only busy */
  readonly token?: number;
  /**
   * Seconds in which starting or stopping one thing must be done; longer ones count as failed. A node whose volume takes no write for twice as
   * long is switched off. @default 60
   */
  readonly operationTimeout?: number;
  /**
   * Clients of version 3 too, as VMware ESXi and old systems are. Opens four ports more for the clients, and where one of them had a lock
   * nobody gets a new one before the whole `grace` (at most 240 s) has passed after a failover.
   * @default false - version 4 has one port, and its locks need no notifications, for which clients have to let the nodes in
   */
  readonly version3?: boolean;
  /** Of the NFS server: requests at a time. @default 16 */
  readonly threads?: number;
  /** Seconds that a silent client keeps its locks, whoever else wants them. @default 10 - not the kernel's 90, for which a dead client's lock would be held */
  readonly lease?: number;
  /**
   * Seconds that clients have after a failover to claim their locks again; others get new ones after that. It ends as soon as all clients
   * have claimed theirs (NFS 4.1 and later says so), so it is long only where one has died as well.
   * @default 90 - the kernel's own. It begins before the address has come, and a client asks again after up to as long as it was left alone
   */
  readonly grace?: number;
  /** When both copies are compared, block by block, as systemd's calendar has it. @default "Sun *-*-* 02:00" - weekly, at night */
  readonly verifySchedule?: string;
  /** Who is told of failovers, lost copies and splits. @default - the journal alone */
  readonly alerts?: NfsAlertsProps;
  /** The pair's state for a node exporter. @default - none */
  readonly metrics?: NfsMetricsProps;
}
