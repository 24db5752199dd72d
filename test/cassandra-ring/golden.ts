import type { TerraformStack } from "cdktf";
import {
  type CassandraRing,
  CassandraVersion,
  Peer,
  RingTls,
  Secret,
  type CassandraRingProps,
} from "../../lib";
import { Template } from "../../lib/testing";
import { newStack } from "../support/stack";
import { CERTIFICATE, newRing, ringHosts } from "./rings";

/** A node's files of each line, each with what that line has of its own. */
export function ringCases(): { name: string; files: Record<string, string> }[] {
  const clients = [Peer.cidr("10.0.2.0/24")];
  const tls = (stack: TerraformStack): RingTls =>
    RingTls.authority(Secret.variable(stack, "authority"), { trusted: [CERTIFICATE] });
  return [
    ringCase("cassandra-3.11", (stack) =>
      newRing(stack, {
        version: CassandraVersion.V3_11,
        nodes: ["cassandra-1", "cassandra-2"],
        thrift: true,
        clients,
        keyspaces: [{ name: "esmond", replicationFactor: 2 }],
        tls: tls(stack),
      }),
    ),
    ringCase("cassandra-4.0", (stack) =>
      newRing(stack, { version: CassandraVersion.V4_0, clients, tls: tls(stack), numTokens: 8 }),
    ),
    ringCase("cassandra-4.1", (stack) =>
      newRing(stack, {
        version: CassandraVersion.V4_1,
        clients,
        tls: RingTls.authority(Secret.variable(stack, "authority"), {
          trusted: [CERTIFICATE],
          internode: "optional",
          client: "none",
        }),
        datacenters: {
          here: { platform: hostsOf(stack), nodes: ["cassandra-1", "cassandra-2", "cassandra-3"] },
          there: { platform: hostsOf(stack), nodes: ["cassandra-4", "cassandra-5", "cassandra-6"] },
        },
        keyspaces: [{ name: "esmond", replicationFactor: { here: 3, there: 2 } }],
        settings: { compaction_throughput: "32MiB/s", audit_logging_options: { enabled: true } },
      }),
    ),
    ringCase("cassandra-5.0", (stack) =>
      newRing(stack, {
        clients,
        tls: tls(stack),
        heapMiB: 8192,
        logLevels: { "org.apache.cassandra.gms": "DEBUG" },
      }),
    ),
  ];
}

function hostsOf(stack: TerraformStack): NonNullable<CassandraRingProps["platform"]> {
  const known = stack.node.tryFindChild("rack");
  return (known as NonNullable<CassandraRingProps["platform"]> | undefined) ?? ringHosts(stack);
}

function ringCase(
  name: string,
  build: (stack: TerraformStack) => CassandraRing,
): { name: string; files: Record<string, string> } {
  const stack = newStack();
  build(stack);
  const template = Template.synth(stack).hasNoErrors();
  const file = (path: string): string => template.file("cassandra-1", path);
  return {
    name,
    files: {
      "cassandra.yaml": file("/etc/cassandra/cassandra.yaml"),
      "cassandra-rackdc.properties": file("/etc/cassandra/cassandra-rackdc.properties"),
      "jvm.options": file("/etc/cassandra/jvm.options"),
      "logback.xml": file("/etc/cassandra/logback.xml"),
      "cassandra.service": file("/etc/systemd/system/cassandra.service"),
      "firewall.nft": file("/etc/cdktf-ha/firewall.nft"),
    },
  };
}
