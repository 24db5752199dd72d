import type { Peer } from "../firewall/peer";
import { checkPath, checkSha256, checkSource } from "./installation";

/** Prometheus's JMX agent (jmx_prometheus_javaagent), which a node's Java loads. */
export class MetricsAgent {
  /** A jar that is on the machines already: an image's, or an own package's. */
  static jar(path: string): MetricsAgent {
    // Java takes what follows the first = for the agent's own options
    checkPath("MetricsAgent.jar", path.includes("=") ? "" : path);
    return new MetricsAgent(path, undefined);
  }

  /** A jar by URL, or by its path on the machine, that is run where it has this SHA-256. */
  static download(source: string, props: { readonly sha256: string }): MetricsAgent {
    checkSource("MetricsAgent.download", "source", source);
    checkSha256("MetricsAgent.download", props.sha256);
    const path = `/opt/cassandra/jmx-agent-${props.sha256.slice(0, 16)}.jar`;
    return new MetricsAgent(path, [source, props.sha256]);
  }

  private constructor(
    /** Where it is on the machine when Cassandra starts. */
    readonly path: string,
    /** Where it comes from, and its SHA-256. */
    readonly source: readonly [string, string] | undefined,
  ) {}
}

export interface MetricsProps {
  /** @default - release 1.0.1 from Maven Central, which runs on every Java that Cassandra does */
  readonly agent?: MetricsAgent;
  /** Who may ask: `GET /metrics`, without TLS and without a login. */
  readonly clients: readonly Peer[];
  /** On the node's private address only. @default 7070 */
  readonly port?: number;
  /**
   * The agent's own rules, YAML. The running agent reads them again where they change.
   * @default - Cassandra's metrics by their names, with scope and keyspace as labels
   */
  readonly rules?: string;
}

/** The agent as the launcher and the firewall know it. */
export interface Metrics {
  readonly port: number;
  readonly configPath: string;
  readonly config: string;
  readonly agent: MetricsAgent;
  /** `JAR=ADDRESS:PORT:CONFIG`; the launcher puts the address in. */
  readonly agentOption: string;
}

export function metricsOf({ agent = defaultAgent(), port = 7070, rules = RULES }: MetricsProps): Metrics {
  const configPath = "/etc/cassandra/metrics.yaml";
  return {
    port,
    configPath,
    config: rules,
    agent,
    agentOption: `${agent.path}=@ADDRESS@:${port}:${configPath}`,
  };
}

function defaultAgent(): MetricsAgent {
  return MetricsAgent.download(
    "https://repo1.maven.org/maven2/io/prometheus/jmx/jmx_prometheus_javaagent/1.0.1/jmx_prometheus_javaagent-1.0.1.jar",
    { sha256: "7d61f737fd661610ccc14aea79764faa1ea94a340cbc8f0029b3d2edea3d80c1" },
  );
}

const RULES = `# Managed by cdktf-ha-clusters.
lowercaseOutputName: true
whitelistObjectNames: ["org.apache.cassandra.metrics:*"]
# an older name of what is there as Table
blacklistObjectNames: ["org.apache.cassandra.metrics:type=ColumnFamily,*"]
rules:
  - pattern: 'org.apache.cassandra.metrics<type=(\\w+), keyspace=(\\w+), scope=(\\w+), name=(\\w+)><>(Value|Count|Mean|99thPercentile)'
    name: cassandra_$1_$4_$5
    labels: { keyspace: "$2", table: "$3" }
  - pattern: 'org.apache.cassandra.metrics<type=(\\w+), (?:path=\\w+, )?scope=(\\w+), name=(\\w+)><>(Value|Count|Mean|99thPercentile)'
    name: cassandra_$1_$3_$4
    labels: { scope: "$2" }
  - pattern: 'org.apache.cassandra.metrics<type=(\\w+), name=(\\w+)><>(Value|Count|Mean|99thPercentile)'
    name: cassandra_$1_$2_$3
`;
