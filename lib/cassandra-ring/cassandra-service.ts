import { join } from "node:path";
import type { Machine } from "../platform/machine";
import { VOLUME_PROGRAMS, volumeMount, XFS } from "../platform/volume-service";
import type { Service, ServiceDescription, ServiceFile, ServicePackage } from "../push/service";
import { scriptText } from "../script-text";
import type { Secret } from "../secret/secret";
import type { CassandraVersion } from "./cassandra-version";
import { type Java } from "./cassandra-version";
import { renderCassandraYaml, type YamlModel } from "./cassandra-yaml";
import { renderFacts } from "../facts";
import { KEYS_FILE, type CassandraInstallation } from "./installation";
import { renderJvmOptions } from "./jvm-options";
import type { RingNode } from "./layout";
import { renderLogback } from "./logback";
import type { Metrics } from "./metrics";
import { renderRackdc } from "./rackdc";
import { renderUnit } from "./systemd-unit";
import type { RingTls } from "./tls";

/** What the service asks of the ring it belongs to, at synth. */
export interface NodeSource {
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
  /** All nodes, in the order in which they change. */
  readonly nodes: readonly RingNode[];
  /** Keyspaces that the weekly repair goes through. */
  readonly repairedKeyspaces: readonly string[];
  /** Where nodes may listen for each other. */
  readonly storagePorts: readonly number[];
  nodeOf(machine: Machine): RingNode;
  yaml(node: RingNode): Omit<YamlModel, "version" | "dataDirectory" | "tls" | "address">;
}

const ON_MACHINE = join(__dirname, "on-machine");
export const DATA_DIRECTORY = "/var/lib/cassandra";
/** Facts and logins for the node's own programs. */
export const FACTS_DIRECTORY = "/etc/cassandra/cdktf-ha";
export const PROGRAMS = "/usr/local/lib/cdktf-ha/cassandra";
const TLS_DIRECTORY = "/etc/cassandra/tls";

/** One node of a ring: Java, Cassandra and everything that it reads. */
export class CassandraService implements Service {
  readonly name = "cassandra";
  readonly handsOver = true;

  constructor(
    private readonly source: NodeSource,
    private readonly storePassword: Secret,
  ) {}

  describe(machine: Machine): ServiceDescription {
    const { source } = this;
    const { tls } = source;
    const node = source.nodeOf(machine);
    return {
      packages: this.packages(machine),
      // a new Java or CQL library is used at the next restart
      onPackageChange: "none",
      users: [{ name: "cassandra", home: DATA_DIRECTORY }],
      directories: [
        { path: "/etc/cassandra", mode: "0755" },
        { path: FACTS_DIRECTORY, mode: "0755" },
        ...(tls ? [{ path: TLS_DIRECTORY, mode: "0750", group: "cassandra" }] : []),
      ],
      files: [
        ...this.configs(machine, node),
        ...this.programs(),
        ...(machine.aws?.dataVolume
          ? [
              volumeMount(machine.aws.dataVolume, DATA_DIRECTORY, "Data of Apache Cassandra"),
              ...VOLUME_PROGRAMS,
            ]
          : []),
        ...(tls ? this.tlsFiles(tls, node) : []),
        ...(source.metrics
          ? [{ path: source.metrics.configPath, text: source.metrics.config, onChange: "none" as const }]
          : []),
      ],
      sysctls: {
        // a map for each part of each data file
        "vm.max_map_count": 1048575,
        "vm.swappiness": 1,
        // a firewall between datacenters forgets a silent connection: it is found out before the next repair is
        "net.ipv4.tcp_keepalive_time": 60,
        "net.ipv4.tcp_keepalive_probes": 3,
        "net.ipv4.tcp_keepalive_intvl": 10,
      },
      units: ["cassandra.service"],
      secrets: [source.superuser.password, ...(tls ? [this.storePassword, tls.secretOf(node.name)] : [])],
      hooks: {
        check: script("check.sh"),
        activate: script("activate.sh"),
        healthy: script("healthy.sh"),
        settle: script("settle.sh"),
        leave: script("leave.sh"),
      },
      checker: "Cassandra's own loader",
      // the start itself is waited for by the activation; what is left is gossip
      healthyWithin: 120,
    };
  }

  private packages(machine: Machine): ServicePackage[] {
    const { version, java } = this.source;
    const major = java?.major ?? version.java[0]!;
    return [
      ...(java?.home === undefined ? [{ name: `openjdk-${major}-jre-headless` }] : []),
      { name: "python3-cassandra" },
      { name: "chrony", unlessCommand: "chronyd" },
      ...(this.source.installation.kind === "directory" && !this.source.metrics?.agent.source
        ? []
        : [{ name: "curl", unlessCommand: "curl" }, { name: "ca-certificates" }]),
      ...(machine.aws?.dataVolume ? [XFS] : []),
      ...(this.source.tls ? [{ name: "openssl", unlessCommand: "openssl" }] : []),
    ];
  }

  private configs(machine: Machine, node: RingNode): ServiceFile[] {
    const { source } = this;
    const { version, tls, superuser } = source;
    const yaml = renderCassandraYaml({
      ...source.yaml(node),
      version,
      dataDirectory: DATA_DIRECTORY,
      address: machine.privateAddress,
      tls: tls && {
        internode: tls.internode,
        client: tls.client,
        clientCertificates: tls.clientCertificates,
        keystore: `${DATA_DIRECTORY}/tls/keystore.p12`,
        truststore: `${DATA_DIRECTORY}/tls/truststore.p12`,
        password: this.storePassword.quotable,
      },
    });
    const jvm = renderJvmOptions({ version, extra: source.jvmOptions });
    return [
      { path: "/etc/cassandra/cassandra.yaml", text: yaml, mode: "0640", group: "cassandra" },
      { path: "/etc/cassandra/cassandra-rackdc.properties", text: renderRackdc(node) },
      { path: "/etc/cassandra/jvm.options", text: jvm },
      { path: "/etc/cassandra/logback.xml", text: renderLogback(source.logLevels) },
      { path: "/etc/cassandra/logback-tools.xml", text: TOOLS_LOGBACK, onChange: "none" },
      { path: `${FACTS_DIRECTORY}/ring`, text: this.ringFacts(node), onChange: "none" },
      { path: `${FACTS_DIRECTORY}/launch`, text: this.launchFacts() },
      ...(source.installation.keys === undefined
        ? []
        : [{ path: KEYS_FILE, text: source.installation.keys, onChange: "none" as const }]),
      {
        path: `${FACTS_DIRECTORY}/login`,
        text: `${superuser.name}\n${superuser.password.placeholder}`,
        mode: "0600",
        onChange: "none",
      },
      {
        path: "/etc/systemd/system/cassandra.service",
        text: renderUnit({ openFiles: source.openFiles, dataDirectory: DATA_DIRECTORY }),
      },
    ];
  }

  /** Who is there: a change of it needs no restart. */
  private ringFacts(node: RingNode): string {
    const { source } = this;
    const volume = node.machine.aws?.dataVolume;
    return renderFacts("who is there", {
      RING_CLUSTER: source.clusterName,
      RING_NODE: node.name,
      RING_ADDRESS: node.machine.privateAddress,
      RING_DATACENTER: node.datacenter,
      RING_RACK: node.rack,
      RING_VOLUME: volume?.id ?? "",
      RING_DEVICE: volume?.device ?? "",
      // a volume that grows is a change that is pushed: the file system grows with it
      RING_VOLUME_GIB: volume?.sizeGiB ?? "",
      RING_TOKENS: source.yaml(node).numTokens,
      RING_STORAGE_PORTS: source.storagePorts.join(" "),
      RING_FOUNDER: source.nodes[0]!.name,
      RING_JOIN_SECONDS: source.joinWithin,
      RING_REPAIR_KEYSPACES: source.repairedKeyspaces.join(" "),
      ...this.sourceFacts(),
      RING_NODES: source.nodes
        .map(
          ({ name, machine, datacenter, rack }) => `${name} ${machine.privateAddress} ${datacenter} ${rack}`,
        )
        .join("\n"),
    });
  }

  /** Where software comes from: a mirror that moves is no reason for a restart. */
  private sourceFacts(): Record<string, string | readonly string[]> {
    const { version, installation, metrics } = this.source;
    const suite = installation.kind === "apt" ? [installation.suite ?? version.aptSuite] : [];
    return {
      RING_INSTALLATION: installation.kind,
      RING_SOURCE: installation.kind === "directory" ? [] : [...installation.source, ...suite],
      RING_AGENT: metrics?.agent.path ?? "",
      RING_AGENT_SOURCE: metrics?.agent.source ?? [],
    };
  }

  /** What the daemon is started with, and cannot change while it runs. */
  private launchFacts(): string {
    const { version, installation, java, tls, metrics, heapMiB } = this.source;
    return renderFacts("what the daemon is started with", {
      RING_DATA: DATA_DIRECTORY,
      RING_RELEASE: installation.release,
      RING_HOME: installation.home,
      RING_JAVA_MAJORS: (java?.major === undefined ? version.java : [java.major]).join(" "),
      RING_JAVA_HOME: java?.home ?? "",
      RING_HEAP_MIB: heapMiB ?? "auto",
      RING_TLS: tls ? (tls.authority ? "authority" : "given") : "none",
      RING_TLS_CLIENT: tls?.client ?? "none",
      RING_TLS_RELOADS: version.reloads ? "yes" : "no",
      RING_METRICS: metrics?.agentOption ?? "",
    });
  }

  private tlsFiles(tls: RingTls, node: RingNode): ServiceFile[] {
    return [
      tls.trustFile(TLS_DIRECTORY),
      { path: `${TLS_DIRECTORY}/store-password`, text: this.storePassword.placeholder, mode: "0600" },
      tls.secretFile(TLS_DIRECTORY, node.name),
    ];
  }

  private programs(): ServiceFile[] {
    const program = (name: string, file: string, mode = "0755"): ServiceFile => ({
      path: `${PROGRAMS}/${name}`,
      text: script(file),
      mode,
      onChange: "none",
    });
    return [
      program("functions.sh", "functions.sh", "0644"),
      program("start", "start.sh"),
      program("nodetool", "nodetool.sh"),
      program("install.sh", "install.sh"),
      program("stores.sh", "stores.sh"),
      program("ring.py", "ring.py", "0644"),
      {
        path: "/usr/local/bin/nodetool",
        text: `#!/bin/bash\nexec ${PROGRAMS}/nodetool "$@"\n`,
        mode: "0755",
        onChange: "none",
      },
    ];
  }
}

export function script(file: string): string {
  return scriptText(join(ON_MACHINE, file));
}

/** Tools say what went wrong, on standard error. */
const TOOLS_LOGBACK = `<!-- Managed by cdktf-ha-clusters. -->
<configuration>
  <appender name="STDERR" class="ch.qos.logback.core.ConsoleAppender">
    <target>System.err</target>
    <encoder><pattern>%-5level %msg%n</pattern></encoder>
  </appender>
  <root level="ERROR"><appender-ref ref="STDERR"/></root>
</configuration>
`;
