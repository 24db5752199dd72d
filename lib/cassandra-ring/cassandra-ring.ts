import { Construct } from "constructs";
import { Connections, type Connectable } from "../firewall/connections";
import { Port } from "../firewall/port";
import { checkProps } from "../input/guard";
import { LOCALHOST } from "../net";
import type { Listening, Machine } from "../platform/machine";
import { machinesOf } from "../platform/nodes";
import { checkAtSynth, refuse, tell } from "../problem";
import { Rollout } from "../push/rollout";
import { grantS3 } from "../s3-url";
import { SchemaService } from "../push/schema-service";
import { Secret } from "../secret/secret";
import type { ClusterTopology } from "../topology/topology";
import {
  CassandraService,
  DATA_DIRECTORY,
  FACTS_DIRECTORY,
  script,
  type NodeSource,
} from "./cassandra-service";
import { CassandraVersion, type Java } from "./cassandra-version";
import type { YamlModel } from "./cassandra-yaml";
import { CassandraInstallation } from "./installation";
import { renderSchema, type SchemaModel } from "./keyspace";
import { changeOrder, defaultSeeds, racksOf, type RingNode } from "./layout";
import { metricsOf, type Metrics } from "./metrics";
import { checkRing, problemsOfRing, warnOfRing } from "./ring-problems";
import type { CassandraRingProps, DatacenterProps } from "./ring-props";
import type { RingTls } from "./tls";
import { toleranceOf, toleranceText, type Tolerance } from "./tolerance";
import { UpkeepService } from "./upkeep-service";

/** Releases that are installed where the code names none. */
const RELEASES: Readonly<Record<string, string>> = {
  "3.11": "3.11.19",
  "4.0": "4.0.19",
  "4.1": "4.1.10",
  "5.0": "5.0.6",
};

/** Cassandra's own keyspaces that have rows of the whole ring, and ours. */
const SYSTEM_KEYSPACES = ["cdktf_ha", "system_auth", "system_distributed", "system_traces"];

/** An Apache Cassandra ring whose life after the first deploy is a change of code and an apply. */
export class CassandraRing extends Construct implements Connectable, NodeSource {
  readonly connections: Connections;
  /** In the order in which they change. */
  readonly machines: readonly Machine[];
  readonly version: CassandraVersion;
  readonly installation: CassandraInstallation;
  readonly java?: Java;
  readonly clusterName: string;
  readonly superuser: { readonly name: string; readonly password: Secret };
  readonly tls?: RingTls;
  readonly metrics?: Metrics;
  readonly heapMiB?: number;
  readonly jvmOptions: readonly string[];
  readonly openFiles: number;
  readonly joinWithin: number;
  readonly logLevels: Readonly<Record<string, string>>;
  /** In the order in which they begin and change: datacenter after datacenter, each by name. */
  readonly nodes: readonly RingNode[];
  /** What whoever comes after the ring depends on: all nodes are up, keyspaces and roles are there. */
  readonly ready: Rollout["last"];
  private readonly seeds: readonly RingNode[];

  constructor(
    scope: Construct,
    id: string,
    readonly props: CassandraRingProps,
  ) {
    super(scope, id);
    checkProps(this, "CassandraRingProps", props);
    this.version = props.version ?? CassandraVersion.V5_0;
    this.installation = props.installation ?? CassandraInstallation.apt(RELEASES[this.version.line]!);
    this.java = props.java;
    this.clusterName = props.clusterName;
    this.superuser = { name: props.superuser.name ?? "admin", password: props.superuser.password };
    this.tls = props.tls;
    this.metrics = props.metrics && metricsOf(props.metrics);
    this.heapMiB = props.heapMiB;
    this.jvmOptions = props.jvmOptions ?? [];
    this.openFiles = props.openFiles ?? 100_000;
    this.joinWithin = props.joinWithin ?? 86_400;
    this.logLevels = props.logLevels ?? {};
    checkRing(this);
    const members = Object.entries(this.datacenters()).map(([name, datacenter]) =>
      this.membersOf(name, datacenter),
    );
    this.seeds = members.flatMap(({ seeds }) => seeds);
    this.nodes = changeOrder(members.flatMap(({ nodes }) => nodes));
    this.tls?.checkNodes(
      this,
      this.nodes.map(({ name }) => name),
    );
    this.machines = this.nodes.map(({ machine }) => machine);
    this.connections = this.connect(id);
    this.grantBucket();
    this.ready = this.rollOut();
    warnOfRing(this);
    for (const { name } of props.keyspaces ?? []) tell(this, toleranceText(this.toleranceOf(name)));
    checkAtSynth(this, () => problemsOfRing(this));
  }

  /** `ADDRESS`, of every node: what a driver is given. */
  get contactPoints(): string {
    return this.machines.map(({ privateAddress }) => privateAddress).join(",");
  }

  /** `ADDRESS:9160`, of every node: what a client of Thrift is given. */
  get thriftContactPoints(): string {
    this.needThrift();
    return this.machines.map(({ privateAddress }) => `${privateAddress}:9160`).join(",");
  }

  /** esmond's two lines about its store, for /etc/esmond/esmond.conf. */
  esmondSettings(keyspace = "esmond"): string {
    const copies = Math.min(...Object.values(this.copiesOf(keyspace)));
    return `cassandra_servers = ${this.thriftContactPoints}\ncassandra_replicas = ${copies}\n`;
  }

  /** Name and password of a role, for whoever connects with it. */
  credentials(role: string): { readonly name: string; readonly password: Secret } {
    const known = this.props.roles?.find(({ name }) => name === role);
    if (known) return known;
    return refuse(this, {
      code: "bad-name",
      what: `no role '${role}'`,
      allowed: (this.props.roles ?? []).map(({ name }) => name).join(", ") || "none: the ring has no roles",
      fix: "add it to 'roles'",
    });
  }

  /** What may fail without anybody noticing. */
  toleranceOf(keyspace: string): Tolerance {
    return toleranceOf({ keyspace, copies: this.copiesOf(keyspace), racks: racksOf(this.nodes) });
  }

  /** Copies of a keyspace's rows, by datacenter. */
  copiesOf(keyspace: string): Record<string, number> {
    const known = this.props.keyspaces?.find(({ name }) => name === keyspace);
    if (!known) {
      return refuse(this, {
        code: "unknown-keyspace",
        what: `no keyspace '${keyspace}'`,
        allowed:
          (this.props.keyspaces ?? []).map(({ name }) => name).join(", ") ||
          "none: the ring has no keyspaces",
        fix: "add it to 'keyspaces'",
      });
    }
    const { replicationFactor } = known;
    if (typeof replicationFactor === "object") return { ...replicationFactor };
    return Object.fromEntries(
      this.datacenterNames.map((name) => [name, replicationFactor ?? Math.min(3, this.nodesOf(name).length)]),
    );
  }

  get datacenterNames(): string[] {
    return Object.keys(this.datacenters());
  }

  nodesOf(datacenter: string): RingNode[] {
    return this.nodes.filter((node) => node.datacenter === datacenter);
  }

  /** Who is there, who needs whom, how long things take: without Terraform. */
  topology(): ClusterTopology {
    const phi = this.phiConvictThreshold;
    const keyspaces = (this.props.keyspaces ?? []).map(({ name }) => this.toleranceOf(name));
    return {
      kind: "CassandraRing",
      path: this.node.path,
      members: this.nodes.map((node) => ({
        name: node.name,
        zone: node.machine.zone,
        roles: this.seeds.includes(node) ? ["node", "seed"] : ["node"],
      })),
      addresses: [],
      needs: [],
      survives: {
        failures: keyspaces.length
          ? Math.min(...keyspaces.flatMap(({ localQuorum }) => Object.values(localQuorum)))
          : this.nodes.length - 1,
        of: "node",
      },
      timers: [
        {
          name: "a dead node is taken for dead",
          seconds: Math.round(phi * Math.log(10) * 10) / 10,
          because: `phi ${phi} x ln 10 x 1 s between heartbeats`,
        },
      ],
    };
  }

  // NodeSource: asked by the services at synth

  nodeOf(machine: Machine): RingNode {
    return this.nodes.find((node) => node.machine === machine)!;
  }

  yaml(node: RingNode): Omit<YamlModel, "version" | "dataDirectory" | "tls" | "address"> {
    const here = this.seeds.filter(({ datacenter }) => datacenter === node.datacenter);
    const elsewhere = this.seeds.filter(({ datacenter }) => datacenter !== node.datacenter);
    return {
      clusterName: this.clusterName,
      numTokens: this.props.numTokens ?? (this.version === CassandraVersion.V3_11 ? 256 : 16),
      allocateFor: Math.max(
        Math.min(3, this.nodesOf(node.datacenter).length),
        ...(this.props.keyspaces ?? []).map(({ name }) => this.copiesOf(name)[node.datacenter] ?? 0),
      ),
      seeds: [...here, ...elsewhere].map(({ machine }) => machine.privateAddress),
      phiConvictThreshold: this.phiConvictThreshold,
      thrift: this.props.thrift ?? false,
      settings: this.props.settings ?? {},
    };
  }

  get storagePorts(): number[] {
    // 4.0 and later speak TLS on 7000 too
    const legacyTls = !this.version.reloads && (this.tls?.internode ?? "none") !== "none";
    return legacyTls ? [7000, 7001] : [7000];
  }

  get repairedKeyspaces(): string[] {
    return [...(this.props.keyspaces ?? []).map(({ name }) => name), "system_auth", "cdktf_ha"];
  }

  private get phiConvictThreshold(): number {
    return this.props.phiConvictThreshold ?? (this.machines.some(({ aws }) => aws) ? 12 : 8);
  }

  private datacenters(): Readonly<Record<string, DatacenterProps>> {
    const { platform, nodes, datacenter = "datacenter1", seeds, datacenters } = this.props;
    if (datacenters) return datacenters;
    return { [datacenter]: { platform: platform!, nodes: nodes!, seeds } };
  }

  private membersOf(
    name: string,
    { platform, nodes: given, seeds }: DatacenterProps,
  ): { nodes: RingNode[]; seeds: RingNode[] } {
    // below the ring itself: a ring that gets its second datacenter keeps the addresses of what it has
    const volumes = { dataVolume: this.props.dataVolume, dataDirectory: DATA_DIRECTORY };
    const nodes = machinesOf(this, platform, given, volumes).map((machine) => ({
      name: machine.name,
      machine,
      datacenter: name,
      rack: machine.zone ?? "rack1",
    }));
    if (seeds?.length === 0) {
      refuse(this, {
        code: "unknown-seed",
        what: `no seed of ${name}`,
        allowed: nodes.map((candidate) => candidate.name).join(", "),
        fix: "name nodes of this datacenter, or leave 'seeds' out",
      });
    }
    if (!seeds) return { nodes, seeds: defaultSeeds(nodes) };
    const chosen = seeds.map((seed) => {
      const node = nodes.find((candidate) => candidate.name === seed);
      if (node) return node;
      return refuse(this, {
        code: "unknown-seed",
        what: `seed '${seed}' of ${name}`,
        allowed: nodes.map((candidate) => candidate.name).join(", "),
        fix: "name nodes of this datacenter, or leave 'seeds' out",
      });
    });
    return { nodes, seeds: chosen };
  }

  private connect(id: string): Connections {
    const connections = new Connections(this, {
      name: id,
      ports: { cql: Port.tcp(9042), ...(this.props.thrift ? { thrift: Port.tcp(9160) } : {}) },
    });
    for (const machine of this.machines) {
      connections.addMachine(machine);
      machine.listens(this, () => this.listening(machine));
    }
    if (this.machines.length > 1) {
      connections.allowInternally(...this.storagePorts.map((port) => Port.tcp(port)), "cql");
    }
    connections.allowFromLocalhostOnly(Port.tcp(7199), "JMX, nodetool");
    for (const client of this.props.clients ?? []) connections.allowFrom(client);
    if (this.metrics) {
      for (const peer of this.props.metrics!.clients) {
        connections.allowFrom(peer, Port.tcp(this.metrics.port));
      }
    }
    return connections;
  }

  private listening({ privateAddress: address }: Machine): Listening[] {
    const thrift = this.props.thrift ? [9160] : [];
    const metrics = this.metrics ? [this.metrics.port] : [];
    const ports = [9042, ...this.storagePorts, ...thrift, ...metrics];
    return [
      { port: Port.tcp(7199), address: LOCALHOST },
      ...ports.map((port) => ({ port: Port.tcp(port), address })),
    ];
  }

  private rollOut(): Rollout["last"] {
    const cassandra = new CassandraService(this, Secret.generated("cassandra-stores"));
    const schema = new SchemaService("cassandra-schema", {
      directory: FACTS_DIRECTORY,
      text: () => renderSchema(this.schema()),
      passwords: () => this.rolePasswords(),
      settle: script("schema.sh"),
    });
    const upkeep = new UpkeepService(() => ({
      members: this.nodes.map(({ name }) => name),
      copies: Object.fromEntries((this.props.keyspaces ?? []).map(({ name }) => [name, this.copiesOf(name)])),
      repair: this.props.repair === false ? undefined : (this.props.repair ?? "weekly"),
      snapshots: this.props.snapshots,
      issuesCertificate: this.tls?.authority !== undefined,
    }));
    const nodes = new Rollout(this, "rollout", {
      nodes: this.machines.map((machine) => ({ machine, services: [cassandra] })),
      // every firewall lets the new node in before it asks its peers
      dependsOn: this.machines.map(({ base }) => base.resource),
    });
    const keyspaces = new Rollout(this, "schema", {
      nodes: [{ machine: this.machines[0]!, services: [schema] }],
      dependsOn: nodes.last,
    });
    return new Rollout(this, "upkeep", {
      nodes: this.machines.map((machine) => ({ machine, services: [upkeep] })),
      dependsOn: keyspaces.last,
    }).last;
  }

  /** Each node may write and read its own snapshots, and no other node's. */
  private grantBucket(): void {
    const place = this.props.snapshots?.place;
    if (!place) return;
    for (const machine of this.machines)
      grantS3(machine, { ...place, prefix: `${place.prefix}${machine.name}/` });
  }

  private schema(): SchemaModel {
    const { keyspaces = [], roles = [] } = this.props;
    const system = Object.fromEntries(
      this.datacenterNames.map((name) => [name, Math.min(3, this.nodesOf(name).length)]),
    );
    return {
      keyspaces: keyspaces.map(({ name, durableWrites = true }) => ({
        name,
        copies: this.copiesOf(name),
        durableWrites,
      })),
      system: Object.fromEntries(SYSTEM_KEYSPACES.map((name) => [name, system])),
      roles: roles.map(({ name, superuser = false, grants = {} }) => ({
        name,
        passwordFile: passwordFile(name),
        superuser,
        grants,
      })),
    };
  }

  private rolePasswords(): Record<string, Secret> {
    return Object.fromEntries(
      (this.props.roles ?? []).map(({ name, password }) => [passwordFile(name), password]),
    );
  }

  private needThrift(): void {
    if (this.props.thrift) return;
    refuse(this, {
      code: this.version.hasThrift ? "conflicting-setting" : "thrift-is-gone",
      what: "contact points for Thrift, which is not switched on",
      allowed: "thrift: true, with CassandraVersion.V3_11",
      fix: this.version.hasThrift ? "thrift: true" : "use contactPoints: clients speak CQL on 9042",
    });
  }
}

function passwordFile(role: string): string {
  return `${FACTS_DIRECTORY}/role-${role}`;
}
