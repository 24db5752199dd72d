import type { Connectable } from "../firewall/connections";
import type { Peer } from "../firewall/peer";
import type { DataVolume } from "../platform/aws/data-volume";
import type { Nodes, Platform } from "../platform/platform";
import type { Secret } from "../secret/secret";
import type { CassandraVersion, Java } from "./cassandra-version";
import type { YamlValue } from "./cassandra-yaml";
import type { CassandraInstallation } from "./installation";
import type { KeyspaceProps, RoleProps } from "./keyspace";
import type { MetricsProps } from "./metrics";
import type { Snapshots } from "./snapshots";
import type { RingTls } from "./tls";

export interface DatacenterProps {
  readonly platform: Platform;
  readonly nodes: Nodes;
  /**
   * Names of nodes that others ask when they join.
   * @default - the first node of each rack, of at most three racks; the first two where there is one rack
   */
  readonly seeds?: readonly string[];
}

export interface SuperuserProps {
  /** @default "admin" */
  readonly name?: string;
  /** The same value for every node: a variable, or read from AWS. */
  readonly password: Secret;
}

export interface CassandraRingProps {
  /** Shown by every node, and never to be changed: nodes of another name are kept out. */
  readonly clusterName: string;
  /** @default CassandraVersion.V5_0 */
  readonly version?: CassandraVersion;
  /** Where the software comes from. @default - the newest release of the version that this package knows, from Apache's apt repository */
  readonly installation?: CassandraInstallation;
  /** @default - the newest OpenJDK that the version runs on: 17 for 5.0, 11 for 4.x, 8 for 3.11 */
  readonly java?: Java;
  /** One datacenter: where its nodes run. */
  readonly platform?: Platform;
  /** One datacenter: its nodes. A node's zone is its rack. */
  readonly nodes?: Nodes;
  /** One datacenter: its name. @default "datacenter1" - as Cassandra's own examples have it */
  readonly datacenter?: string;
  /** One datacenter: see {@link DatacenterProps.seeds}. */
  readonly seeds?: readonly string[];
  /** Several datacenters by name, instead of `platform` and `nodes`. The ring begins in the first one. */
  readonly datacenters?: Readonly<Record<string, DatacenterProps>>;
  /**
   * On AWS: a volume for each node's data, apart from its instance; with a file system at the first start, mounted at
   * /var/lib/cassandra. On hosts that exist, mount a disk there yourself.
   * @default - the data lie on the root volume and go with the instance
   */
  readonly dataVolume?: DataVolume;
  /** Created, and changed, by an apply. One that leaves the code stays in the ring. @default none */
  readonly keyspaces?: readonly KeyspaceProps[];
  /** Logins for clients. One that leaves the code is dropped. @default none */
  readonly roles?: readonly RoleProps[];
  /** Takes the place of Cassandra's own `cassandra`, which everybody knows and which is switched off. */
  readonly superuser: SuperuserProps;
  /** Encryption between nodes and for clients. @default - none: the network is trusted, passwords travel as they are */
  readonly tls?: RingTls;
  /** Who may connect to 9042 (and 9160); or say it later: `ring.connections.allowFrom(web)`. @default nobody */
  readonly clients?: readonly (Connectable | Peer)[];
  /** Thrift on 9160, for clients as old as 3.11. @default false */
  readonly thrift?: boolean;
  /**
   * Ranges that each node owns.
   * @default 16, or 256 on 3.11 - 16 are spread evenly by 4.0's allocation; 3.11 draws lots, and needs many for an even share
   */
  readonly numTokens?: number;
  /**
   * MiB of Java's heap.
   * @default - by the machine: half of its memory up to 1 GiB, or a quarter of it up to 8 GiB, whichever is more
   */
  readonly heapMiB?: number;
  /** Further options of Java, one each; the last one of a name counts. @default none */
  readonly jvmOptions?: readonly string[];
  /** Further settings of cassandra.yaml, as this version spells them. @default none */
  readonly settings?: Readonly<Record<string, YamlValue>>;
  /** Files that the daemon may have open. @default 100000 - Apache's own advice: sockets, and some files for each table on disk */
  readonly openFiles?: number;
  /**
   * How sure a node has to be before it takes another one for dead.
   * @default 8, or 12 on EC2 - with a heartbeat a second, 8 are 18 s and 12 are 28 s without one; EC2's network has pauses
   */
  readonly phiConvictThreshold?: number;
  /** Seconds that a node may take to join. @default 86400 - a terabyte at 200 Mbit/s takes half a day */
  readonly joinWithin?: number;
  /**
   * When nodes repair their ranges, in systemd's calendar words; false for never. One node at a time, in the whole ring.
   * @default "weekly" - rows that were deleted come back where a copy was not told within gc_grace, ten days
   */
  readonly repair?: string | false;
  /** @default none */
  readonly snapshots?: Snapshots;
  /** @default none */
  readonly metrics?: MetricsProps;
  /** Levels by logger, beside INFO for all. The log goes to the journal. @default none */
  readonly logLevels?: Readonly<Record<string, "TRACE" | "DEBUG" | "INFO" | "WARN" | "ERROR" | "OFF">>;
}
