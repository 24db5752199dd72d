import type { Peer } from "../firewall/peer";

export interface MetricsProps {
  /** Prometheus's JMX agent as a jar that is on the machines: a directory of an image, or an own package's. */
  readonly agentJar: string;
  /** Who may ask. */
  readonly clients: readonly Peer[];
  /** On the node's private address only. @default 7070 */
  readonly port?: number;
  /** The agent's own rules, YAML. @default - Cassandra's metrics by their names, with scope and keyspace as labels */
  readonly rules?: string;
}

/** The agent as the launcher and the firewall know it. */
export interface Metrics {
  readonly port: number;
  readonly configPath: string;
  readonly config: string;
  /** `JAR=ADDRESS:PORT:CONFIG`; the launcher puts the address in. */
  readonly agentOption: string;
}

export function metricsOf({ agentJar, port = 7070, rules = RULES }: MetricsProps): Metrics {
  const configPath = "/etc/cassandra/metrics.yaml";
  return { port, configPath, config: rules, agentOption: `${agentJar}=@ADDRESS@:${port}:${configPath}` };
}

const RULES = `# Managed by cdktf-ha-clusters.
lowercaseOutputName: true
whitelistObjectNames: ["org.apache.cassandra.metrics:*"]
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
