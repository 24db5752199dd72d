import type { EtcdCluster } from "../etcd/etcd-cluster";
import type { Connectable } from "../firewall/connections";
import type { Peer } from "../firewall/peer";
import type { SyslogCollectorProps } from "../log-collector/syslog-collector";
import type { DataVolume } from "../platform/aws/data-volume";
import type { Platform } from "../platform/platform";
import type { Secret } from "../secret/secret";
import type { VirtualIp } from "../virtual-ip/virtual-ip";
import type { Backups } from "./backups";
import type { DatabaseProps, DatabaseRoleProps } from "./databases";
import type { LeaderVrrpProps } from "./leader-address";
import type { Members } from "./members";
import type { PostgresMetricsProps } from "./metrics";
import type { PostgresPackages } from "./packages";
import type { Parameters } from "./parameters";
import type { Synchronous } from "./patroni-yml";
import type { PoolerProps } from "./pooler";
import type { Recovery } from "./recovery";
import type { Standbys, StandbyOf } from "./standby";
import type { TakeOver } from "./take-over";
import type { Timers } from "./timers";
import type { PostgresTls } from "./tls";
import type { Workload } from "./workload";

export interface PostgresReplicaSetProps {
  readonly platform: Platform;
  /**
   * By name, with their zones, and what they are for where that differs; or how many, which are then called after the set:
   * `metadata-1`, `metadata-2`, ...
   */
  readonly members: Members | number;
  /**
   * What the members show each other: for replication, pg_rewind and Patroni's REST interface. The same value for all of them.
   * The superuser has no password: it logs in on the machine itself, as the system's user postgres.
   */
  readonly memberPassword: Secret;
  /** What each server calls itself, and where etcd keeps the set. Never to be changed. @default - the construct's id */
  readonly name?: string;
  /**
   * Where is agreed on who leads.
   * @default - members of its own on the first three machines, by name; on the first one where there are fewer
   */
  readonly etcd?: EtcdCluster;
  /**
   * What the set shows an `EtcdCluster` with `tls`: a certificate in the set's `name` (its subject's common name), the chain above it
   * and its key, in one PEM, by an authority that etcd trusts and the set's machines do not hold. Of the set's own etcd, with
   * `PostgresTls.given` only.
   * @default - with `PostgresTls.authority` and an etcd of the set's own, each member issues itself one
   */
  readonly etcdCertificate?: Secret;
  /**
   * On AWS: a volume for each member's data and etcd's, apart from its instance; with a file system at the first start, mounted
   * at /var/lib/postgresql and /var/lib/etcd. On hosts that exist, mount a disk there yourself.
   * @default - the data is on the root volume and goes with the instance
   */
  readonly dataVolume?: DataVolume;
  /**
   * Which PostgreSQL and Patroni, and where they come from. The version is one choice for life: see "Another major version" in the documentation.
   * @default PostgresPackages.debian12()
   */
  readonly packages?: PostgresPackages;
  /** Created, and given to their owners, by an apply. One that leaves the code stays. @default none */
  readonly databases?: readonly DatabaseProps[];
  /** Logins for clients. One that leaves the code stays, and may no longer log in. @default none */
  readonly roles?: readonly DatabaseRoleProps[];
  /** Who may connect to 5432 by themselves; or say it later: `set.primary.allowFrom(web)`. @default nobody */
  readonly clients?: readonly (Connectable | Peer)[];
  /** Encrypted connections to PostgreSQL and Patroni, from clients and between members. @default - none: a network of your own */
  readonly tls?: PostgresTls;
  /**
   * An address that is always where the primary is, for clients that know one address only: the members' keepalived asks Patroni who leads, and PostgreSQL
   * (and the poolers) listen on it.
   * @default none: load balancers and libpq find the primary by themselves
   */
  readonly virtualIp?: VirtualIp;
  /** How the address moves. @default - an advert every 0.2 s, and an id from the construct's path */
  readonly vrrp?: LeaderVrrpProps;
  /** @default Timers.fast() */
  readonly timers?: Timers;
  /**
   * Does a commit wait until another member has it? "on": as long as there is one; "strict": writes stop when there is none.
   * @default "on" with three members and more, so that no acknowledged write is lost with one of them; "off" with fewer
   */
  readonly synchronous?: Synchronous;
  /** While etcd is away, a primary goes on as long as it reaches every member. @default true */
  readonly failsafe?: boolean;
  /** Bytes that a member may lack and still take over, where commits do not wait. @default 1048576 - Patroni's own 1 MiB */
  readonly maximumLagOnFailover?: number;
  /**
   * A watchdog (the kernel's softdog where there is no better one) restarts a machine whose Patroni hangs while it leads.
   * "automatic": where there is one; "required": without one nobody leads.
   * @default "off" - a machine without one could never lead
   */
  readonly watchdog?: "off" | "automatic" | "required";
  /** What the databases are mostly asked to do. @default Workload.general() */
  readonly workload?: Workload;
  /** Further settings of postgresql.conf. @default none */
  readonly parameters?: Parameters;
  /** MiB that PostgreSQL is tuned for. @default - the machine's own */
  readonly memoryMiB?: number;
  /**
   * Reserve huge pages for PostgreSQL's shared memory, as many as the server itself says that it needs, before each of its starts; a change of it is a
   * restart in turn. Worth it from some GB of `shared_buffers` on. PostgreSQL 15 and newer.
   * @default false - memory that is reserved is nobody else's, whether the server runs or not
   */
  readonly hugePages?: boolean;
  /**
   * "strict": the kernel promises no more memory than there is (nine tenths of it, and the swap), so that an allocation fails, and not a process of
   * PostgreSQL's by the kernel's hand. For machines of the set's own: every program of the machine is held to it. "heuristic": the kernel's own
   * way, and the way back.
   * @default - as the machine has it
   */
  readonly overcommit?: "heuristic" | "strict";
  /** Of the data, for its whole life. @default "C.UTF-8" - sorts the same after every upgrade of the system's library */
  readonly locale?: string;
  /**
   * PgBouncer on each member, port 6432: few connections to the primary serve many clients, who only wait while it moves by an apply or by
   * command. Clients and load balancers are given `pooled`.
   * @default none
   */
  readonly pooler?: PoolerProps;
  /**
   * Prometheus's exporter on each member (Debian's prometheus-postgres-exporter), which asks that member's own server. Patroni answers `/metrics`
   * by itself, on 8008.
   * @default none
   */
  readonly metrics?: PostgresMetricsProps;
  /**
   * Takes what PostgreSQL, Patroni, PgBouncer, etcd, keepalived and the set's programs write to the members' journals, by Debian's
   * rsyslog.
   * @default none: it is in the journals
   */
  readonly logCollector?: SyslogCollectorProps;
  /** Where copies go, and when; may come later, and change. @default none: a dropped table is gone from every member */
  readonly backups?: Backups;
  /** A new set begins as a copy of another one, from its backups; of no account once there is data. @default - with nothing */
  readonly recovery?: Recovery;
  /**
   * A PostgreSQL that runs on a member's machine already becomes the set's first member, with what it holds; of no account once the set lives.
   * @default - the set begins with nothing
   */
  readonly takeOver?: TakeOver;
  /**
   * A set that follows another one, and is read from only. Said from its first deploy on: a set that lives as a primary is
   * refused. Without it, by a later apply, the set becomes a primary of its own; the other one has to be down by then.
   * @default - a primary of its own
   */
  readonly standbyOf?: StandbyOf;
  /** Machines of sets that follow this one: let in to copy it, by the same `memberPassword`. @default none */
  readonly standbys?: Standbys;
  /** Seconds that the copy for a new member may take. @default 86400 - a terabyte at 200 Mbit/s takes half a day */
  readonly cloneWithin?: number;
}
