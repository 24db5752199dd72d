import { Construct } from "constructs";
import { EtcdCluster } from "../etcd/etcd-cluster";
import { clientNetworks, Connections, singleNetwork, type Connectable } from "../firewall/connections";
import { Port } from "../firewall/port";
import { HealthCheck } from "../haproxy-keepalived-pair/health-check";
import { checkProps } from "../input/guard";
import { groupsOf } from "../keepalived/virtual-ip-group";
import { syslogCollectorOf, type SyslogCollector } from "../log-collector/syslog-collector";
import { compareNames } from "../names";
import type { Machine } from "../platform/machine";
import { machinesOf } from "../platform/nodes";
import { checkAtSynth, checkCount, refuse, tell } from "../problem";
import type { Rollout } from "../push/rollout";
import type { Secret } from "../secret/secret";
import type { ClusterTopology } from "../topology/topology";
import { databasesByRole, METRICS_ROLE } from "./databases";
import { PostgresEndpoint } from "./endpoint";
import { METRICS_PORT } from "./metrics";
import { nodesOf, roleOf, saidOf, tagsOf, type MemberRole, type Members } from "./members";
import { DATA_ROOT, PostgresPackages } from "./packages";
import { PooledEndpoint } from "./pooled-endpoint";
import { poolerModel, POOLER_PORT, type PoolDemand, type PoolerModel } from "./pooler";
import { splitParameters, type Parameters, type ParameterValue } from "./parameters";
import {
  CERTIFICATE,
  ETCD_CERTIFICATE,
  ETCD_TRUSTED,
  TRUSTED,
  type EtcdAccess,
  type MemberSource,
  type Overcommit,
} from "./patroni-service";
import {
  POSTGRES_PORT,
  REST_PORT,
  type AccessModel,
  type DynamicModel,
  type Synchronous,
} from "./patroni-yml";
import { renderHba, renderIdent } from "./pg-hba";
import { checkEtcdTls } from "./etcd-tls-problems";
import { checkPooler } from "./pooler-problems";
import { checkReplicaSet, problemsOfReplicaSet, warnOfReplicaSet } from "./replica-set-problems";
import type { PostgresReplicaSetProps } from "./replica-set-props";
import type { Recovery } from "./recovery";
import { rollOutReplicaSet } from "./rollouts";
import { standbyCluster, standbyNetworks } from "./standby";
import type { TakeOver } from "./take-over";
import { LeaderAddress } from "./leader-address";
import { Timers } from "./timers";
import type { PostgresTls } from "./tls";
import { Workload } from "./workload";

/** PostgreSQL on several machines, of which one leads and another one takes over, by Patroni and etcd. */
export class PostgresReplicaSet extends Construct implements Connectable, MemberSource {
  readonly connections: Connections;
  readonly name: string;
  /** In the order in which they begin and change: by name, whatever they are for (Terraform cannot turn an order round). */
  readonly machines: readonly Machine[];
  readonly etcd: EtcdCluster;
  /** The one that leads: for writes. */
  readonly primary: PostgresEndpoint;
  /** Those that follow, at most 10 MB behind: for reads that may be a moment old. */
  readonly replicas: PostgresEndpoint;
  /** The one that has every commit, for load balancers; nobody where commits do not wait. */
  readonly synchronousReplica: PostgresEndpoint;
  readonly timers: Timers;
  readonly synchronous: Synchronous;
  readonly memberPassword: Secret;
  readonly locale: string;
  readonly watchdog: "off" | "automatic" | "required";
  readonly tls?: PostgresTls;
  readonly packages: PostgresPackages;
  readonly memoryMiB?: number;
  readonly hugePages: boolean;
  readonly overcommit: Overcommit;
  readonly cloneWithin: number;
  readonly pooler?: PoolerModel;
  readonly leaderAddress?: LeaderAddress;
  readonly collector?: SyslogCollector;
  /** What whoever comes after the set depends on: members are up, databases and roles are there. */
  readonly ready: Rollout["last"];

  constructor(
    scope: Construct,
    id: string,
    readonly props: PostgresReplicaSetProps,
  ) {
    super(scope, id);
    checkProps(this, "PostgresReplicaSetProps", props);
    this.name = props.name ?? id;
    this.timers = props.timers ?? Timers.fast();
    this.memberPassword = props.memberPassword;
    this.locale = props.locale ?? "C.UTF-8";
    this.watchdog = props.watchdog ?? "off";
    this.tls = props.tls;
    this.packages = props.packages ?? PostgresPackages.debian12();
    this.memoryMiB = props.memoryMiB;
    this.hugePages = props.hugePages ?? false;
    this.overcommit = props.overcommit ?? "untouched";
    this.cloneWithin = props.cloneWithin ?? 86_400;
    this.collector = props.logCollector && syslogCollectorOf(this, props.logCollector);
    const machines = machinesOf(this, props.platform, nodesOf(this.memberNames(id)), {
      called: "members",
      dataVolume: props.dataVolume,
      dataDirectory: DATA_ROOT,
    });
    this.machines = [...machines].sort((a, b) => compareNames(a.name, b.name));
    this.synchronous = props.synchronous ?? (this.machines.length >= 3 ? "on" : "off");
    checkReplicaSet(this);
    if (props.pooler) {
      checkPooler(this, props.pooler, this.poolDemand);
      this.pooler = poolerModel(props.pooler, this.poolDemand);
    }
    this.etcd = props.etcd ?? this.ownEtcd();
    this.etcd.claim(this.name, this);
    this.connections = this.connect(id);
    checkEtcdTls(this);
    this.leaderAddress = this.addressOfLeader();
    const trusted = this.tls?.rest ? this.tls.trust : undefined;
    this.primary = new PostgresEndpoint(this, HealthCheck.patroniPrimary({ trusted }), "primary");
    this.replicas = new PostgresEndpoint(this, HealthCheck.patroniReplica({ trusted }), "prefer-standby");
    this.synchronousReplica = new PostgresEndpoint(this, HealthCheck.patroniSynchronous({ trusted }));
    props.backups?.grant(this, this.machines, "write", this.connections);
    props.recovery?.from.grant(this, this.machines, "read", this.connections);
    this.ready = rollOutReplicaSet(this);
    warnOfReplicaSet(this);
    this.tellTimes();
    checkAtSynth(this, () => problemsOfReplicaSet(this));
  }

  /**
   * The poolers, for writes and for reads that want every commit: through whichever of them, a client gets to the member that leads, and stays
   * connected when another one leads.
   * @throws without `pooler`
   */
  get pooled(): PooledEndpoint {
    if (this.props.pooler) return new PooledEndpoint(this);
    return refuse(this, {
      code: "no-pooler",
      what: "'pooled' of a set without 'pooler'",
      allowed: "poolers on its members",
      fix: "pooler: {}",
    });
  }

  /**
   * The virtual IP, which is always where the primary is.
   * @throws without `virtualIp`
   */
  get address(): string {
    if (this.leaderAddress) return this.leaderAddress.address;
    return refuse(this, {
      code: "no-virtual-ip",
      what: "'address' of a set without 'virtualIp'",
      allowed:
        "an address that follows the primary; else 'primary' is balanced, or its connection string names every member",
      fix: "virtualIp: VirtualIp...",
    });
  }

  /** Name and password of a role, for whoever connects with it. */
  credentials(role: string): { readonly name: string; readonly password: Secret } {
    const known = this.props.roles?.find(({ name }) => name === role);
    if (known) return known;
    return refuse(this, {
      code: "unknown-role",
      what: `no role '${role}'`,
      allowed: (this.props.roles ?? []).map(({ name }) => name).join(", ") || "none: the set has no roles",
      fix: "add it to 'roles'",
    });
  }

  /** Who is there, who needs whom, how long things take: without Terraform. */
  topology(): ClusterTopology {
    const { worst, because } = this.timers.failover();
    return {
      kind: "PostgresReplicaSet",
      path: this.node.path,
      members: this.machines.map(({ name, zone }) => ({
        name,
        zone,
        roles: ["member", ...Object.keys(tagsOf(this.role(name)) ?? {})],
      })),
      addresses: this.leaderAddress?.addresses ?? [],
      needs: [
        {
          name: "etcd",
          members: this.etcd.machines.map(({ name }) => name),
          atLeast: this.etcd.machines.length - this.etcd.tolerance,
        },
      ],
      survives: { failures: this.tolerance, of: "node" },
      timers: [
        { name: "another primary takes over", seconds: worst, because },
        {
          name: "a crashed primary may recover before another one takes over",
          seconds: this.timers.props.primaryStartTimeout,
          because: "primary_start_timeout",
        },
        ...(this.leaderAddress ? [this.leaderAddress.timer] : []),
      ],
    };
  }

  private addressOfLeader(): LeaderAddress | undefined {
    const { virtualIp, vrrp } = this.props;
    const { machines, connections, tls } = this;
    const groups = groupsOf(this, { virtualIp, vrrp });
    if (!virtualIp) return undefined;
    const restTls = tls?.rest ?? false;
    return new LeaderAddress(this, "address", { machines, connections, virtualIp, groups, restTls });
  }

  /** Members that may fail, whichever they are: where etcd is on the same machines, its quorum counts too. */
  private get tolerance(): number {
    const all = this.machines.filter(({ name }) => !this.role(name).noFailover).length - 1;
    const shared = this.etcd.machines.some((machine) => this.machines.includes(machine));
    return shared ? Math.min(all, this.etcd.tolerance) : all;
  }

  private get parameters(): Parameters {
    const { workload = Workload.general(), parameters } = this.props;
    return { ...this.timers.parameters(), ...workload.parameters, ...parameters };
  }

  // MemberSource: asked by the services at synth

  get dynamic(): DynamicModel {
    return {
      timers: this.timers.props,
      maximumLagOnFailover: this.props.maximumLagOnFailover ?? 1_048_576,
      synchronous: this.synchronous,
      failsafe: this.props.failsafe ?? true,
      parameters: splitParameters(this.parameters).shared,
      ...(this.props.backups ? { archive: this.name } : {}),
      ...(this.props.standbyOf ? { standby: standbyCluster(this.props.standbyOf) } : {}),
    };
  }

  get recovery(): Recovery | undefined {
    return this.props.recovery;
  }

  get takeOver(): TakeOver | undefined {
    return this.props.takeOver;
  }

  get ownParameters(): Readonly<Record<string, ParameterValue>> {
    return splitParameters(this.parameters).own;
  }

  get etcdTls(): EtcdAccess | undefined {
    const { tls } = this.etcd;
    return tls && { trust: tls.trust, certificate: this.props.etcdCertificate };
  }

  access(machine: Machine): AccessModel {
    const others = this.machines.filter((other) => other !== machine);
    const { tls } = this;
    return {
      etcdHosts: this.etcd.hosts,
      ...(this.etcd.tls && { etcdTls: { certificate: ETCD_CERTIFICATE, trusted: ETCD_TRUSTED } }),
      hba: renderHba({
        members: others.map(({ privateAddress }) => singleNetwork(privateAddress)),
        standbys: standbyNetworks(this.props.standbys ?? []),
        clients: clientNetworks(this.connections, Port.tcp(POSTGRES_PORT)),
        // each logs in at whichever member leads, its own one too
        poolers: this.pooler ? this.memberNetworks : [],
        metrics: this.props.metrics && METRICS_ROLE,
        databases: databasesByRole(this.props),
        tls,
      }),
      ident: tls?.memberAuthentication === "certificate" ? renderIdent(others.map(({ name }) => name)) : [],
      tls: tls && {
        certificate: CERTIFICATE,
        trusted: TRUSTED,
        members: tls.members,
        memberAuthentication: tls.memberAuthentication,
        clientCertificates: tls.clientCertificates,
        rest: tls.rest,
      },
    };
  }

  /** What a member is for. */
  role(name: string): MemberRole {
    return roleOf(saidOf(this.props.members, name));
  }

  private memberNames(id: string): Members {
    const { members } = this.props;
    if (typeof members !== "number") return members;
    checkCount(this, "members", members, 1, 99, "one at least");
    return Array.from({ length: members }, (_, index) => `${id}-${index + 1}`);
  }

  private ownEtcd(): EtcdCluster {
    const chosen = this.machines.slice(0, this.machines.length >= 3 ? 3 : 1);
    return new EtcdCluster(this, "etcd", {
      platform: this.props.platform,
      nodes: Object.fromEntries(chosen.map((machine) => [machine.name, machine])),
      tls: this.tls?.forEtcd(),
    });
  }

  private connect(id: string): Connections {
    const { metrics } = this.props;
    const metricsPort = metrics?.port ?? METRICS_PORT;
    const ports = {
      postgres: Port.tcp(POSTGRES_PORT),
      ...(this.pooler ? { pooler: Port.tcp(POOLER_PORT) } : {}),
      ...(metrics ? { metrics: Port.tcp(metricsPort) } : {}),
    };
    const connections = new Connections(this, { name: id, ports });
    for (const machine of this.machines) {
      connections.addMachine(machine);
      const { privateAddress: address } = machine;
      machine.listens(this, () =>
        [
          POSTGRES_PORT,
          REST_PORT,
          ...(this.pooler ? [POOLER_PORT] : []),
          ...(metrics ? [metricsPort] : []),
        ].map((port) => ({ port: Port.tcp(port), address })),
      );
    }
    if (this.machines.length > 1) {
      // whoever moves the primary lets all poolers wait
      const pooler = this.pooler ? ["pooler"] : [];
      connections.allowInternally("postgres", Port.tcp(REST_PORT), ...pooler);
    }
    for (const client of this.props.clients ?? []) connections.allowFrom(client, "postgres");
    for (const client of metrics?.clients ?? []) connections.allowFrom(client, "metrics");
    for (const standby of this.props.standbys ?? []) connections.allowFrom(standby, "postgres");
    this.etcd.allowFrom(connections);
    return connections;
  }

  /** Each member by itself, for the others' lists of who may come in. */
  get memberNetworks(): string[] {
    return this.machines.map(({ privateAddress }) => singleNetwork(privateAddress));
  }

  private get poolDemand(): PoolDemand {
    return {
      members: this.machines.length,
      databases: databasesByRole(this.props),
      connectionLimits: Object.fromEntries(
        (this.props.roles ?? []).map(({ name, connectionLimit }) => [name, connectionLimit]),
      ),
      maxConnections: this.parameters.max_connections,
    };
  }

  private tellTimes(): void {
    if (this.props.standbyOf) {
      tell(
        this,
        `follows ${Object.keys(this.props.standbyOf.members).join(", ")} and is read from only: databases and roles of the code are made ` +
          `when 'standbyOf' has left it, and the other set must be down or fenced by then`,
      );
      if (this.leaderAddress)
        tell(
          this,
          `nobody has the address ${this.leaderAddress.address} until 'standbyOf' has left the code`,
        );
    }
    if (this.machines.length < 2) return;
    const { worst, mean, because } = this.timers.failover();
    const lost = {
      off: `and up to ${this.dynamic.maximumLagOnFailover} bytes of acknowledged commits may be lost with it`,
      on: "and no acknowledged commit is lost with it, as long as a second member was there",
      strict: "and no acknowledged commit is lost with it; without a second member nothing is committed",
    }[this.synchronous];
    tell(
      this,
      `after the primary's death another one takes writes within ${worst} s, ${mean} s on average (${because}), ${lost}`,
    );
  }
}
