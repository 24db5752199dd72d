import type { TerraformStack } from "cdktf";
import {
  CassandraInstallation,
  type CassandraRing,
  CassandraVersion,
  Java,
  MetricsAgent,
  RingTls,
  Secret,
  Snapshots,
  type CassandraRingProps,
  type ProblemCode,
} from "../../lib";
import { newAws } from "../support/stack";
import { CERTIFICATE, newRing, ringHosts } from "./rings";

/** Rings whose author is wrong, by the code they are refused with: test/bad-input.test.ts tries them all. */
const ring =
  (props: Partial<CassandraRingProps>) =>
  (stack: TerraformStack): CassandraRing =>
    newRing(stack, props);
const keyspace = (replicationFactor: number | Record<string, number>): Partial<CassandraRingProps> => ({
  keyspaces: [{ name: "esmond", replicationFactor }],
});
const archive = (sha256: string) => () => CassandraInstallation.archive("5.0.6", "/srv/c.tar.gz", { sha256 });

const apt = (props: Parameters<typeof CassandraInstallation.apt>[1]): CassandraInstallation =>
  CassandraInstallation.apt("5.0.6", props);

export function refusedRings(): Partial<Record<ProblemCode, [string, (stack: TerraformStack) => unknown][]>> {
  return {
    "java-mismatch": [
      ["a Java that nothing runs on", () => Java.openjdk(21)],
      ["a Java that this release does not run on", ring({ java: Java.openjdk(8) })],
    ],
    "checksum-needed": [
      ["an archive without one", archive("")],
      ["an agent", () => MetricsAgent.download("https://example.net/agent.jar", { sha256: "" })],
    ],
    "unknown-datacenter": [["of a keyspace", ring(keyspace({ elsewhere: 3 }))]],
    "unknown-keyspace": [
      [
        "of a grant",
        (stack) =>
          newRing(stack, { roles: [role(stack, { grants: { other: ["SELECT"] } })], ...keyspace(3) }),
      ],
      ["asked for", (stack) => newRing(stack).toleranceOf("other")],
    ],
    "unknown-seed": [
      ["not a node", ring({ seeds: ["cassandra-9"] })],
      ["none", ring({ seeds: [] })],
    ],
    "replication-above-nodes": [["4 copies on 3 nodes", ring(keyspace(4))]],
    "thrift-is-gone": [
      ["5.0", ring({ thrift: true })],
      ["its contact points", (stack) => newRing(stack).thriftContactPoints],
    ],
    "heap-too-large": [
      [
        "for the instance's type",
        (stack) =>
          newRing(stack, {
            platform: newAws(stack),
            nodes: { "cassandra-1": { instanceType: "m5.large" } },
            heapMiB: 7000,
          }),
      ],
    ],
    "secret-not-shared": [
      ["the superuser's", ring({ superuser: { password: Secret.generated("ring-password") } })],
      ["a role's", (stack) => newRing(stack, { roles: [role(stack, { password: Secret.generated("x") })] })],
      [
        "the authority's",
        ring({ tls: RingTls.authority(Secret.generated("ca"), { trusted: [CERTIFICATE] }) }),
      ],
    ],
    "bad-name": [
      ["a cluster", ring({ clusterName: "a'b" })],
      ["a datacenter", ring({ datacenter: "a b" })],
      ["a datacenter that is a word of CQL's own", ring({ datacenter: "class" })],
      ["a keyspace", ring({ keyspaces: [{ name: "a-b" }] })],
      ["a keyspace of Cassandra's own", ring({ keyspaces: [{ name: "system_auth" }] })],
      [
        "the default superuser",
        (stack) =>
          newRing(stack, {
            superuser: { name: "cassandra", password: Secret.variable(stack, "p") },
          }),
      ],
      ["a release", () => CassandraInstallation.apt("latest")],
      ["a mirror's name of a line", () => apt({ suite: "50x main" })],
      ["a role that is not there", (stack) => newRing(stack).credentials("nobody")],
    ],
    "duplicate-name": [
      [
        "one node in two datacenters",
        (stack) => {
          const platform = ringHosts(stack);
          const nodes = ["cassandra-1"];
          return newRing(stack, { datacenters: { here: { platform, nodes }, there: { platform, nodes } } });
        },
      ],
      ["keyspaces", ring({ keyspaces: [{ name: "a" }, { name: "a" }] })],
      ["a role and the superuser", (stack) => newRing(stack, { roles: [role(stack, { name: "admin" })] })],
    ],
    "number-out-of-range": [
      ["no copy", ring(keyspace(0))],
      ["no copy in any datacenter", ring(keyspace({ datacenter1: 0 }))],
      ["no datacenter with a copy", ring(keyspace({}))],
      ["a port of the metrics", ring({ metrics: { clients: [], port: 99_999 } })],
      ["tokens", ring({ numTokens: 0 })],
      ["a heap", ring({ heapMiB: 16 })],
      ["phi", ring({ phiConvictThreshold: 20 })],
      ["snapshots that are kept", () => Snapshots.directory("/srv", { keep: 0 })],
    ],
    "bad-address": [
      ["a mirror", () => apt({ mirror: "ftp://example.net" })],
      ["a mirror with its login", () => apt({ mirror: "https://me:secret@example.net" })],
      ["keys that anybody could change", () => apt({ keys: "http://10.0.0.1/KEYS" })],
      [
        "a key that signs",
        () =>
          apt({
            keys: "-----BEGIN PGP PRIVATE KEY BLOCK-----\n\nAAAA\n-----END PGP PRIVATE KEY BLOCK-----\n",
          }),
      ],
      ["an archive", () => CassandraInstallation.archive("5.0.6", "c.tar.gz", { sha256: "0".repeat(64) })],
      ["an agent", () => MetricsAgent.download("agent.jar", { sha256: "0".repeat(64) })],
      ["a bucket", () => Snapshots.s3("bucket")],
    ],
    "bad-path": [
      ["an installation's", () => CassandraInstallation.directory("5.0.6", "opt")],
      ["a Java's", () => Java.at("jdk")],
      ["an agent's", () => MetricsAgent.jar("/opt/a b.jar")],
      ["of snapshots", () => Snapshots.directory("snapshots")],
    ],
    "tls-without-certificate": [
      ["nobody is trusted", () => RingTls.given({}, { trusted: [] })],
      ["a node has none", ring({ tls: RingTls.given({}, { trusted: [CERTIFICATE] }) })],
    ],
    "conflicting-setting": [
      ["a release of another line", ring({ installation: CassandraInstallation.apt("4.1.10") })],
      ["no nodes", ring({ nodes: undefined })],
      ["a setting of the ring's own", ring({ settings: { num_tokens: 1 } })],
      ["a setting without a value", ring({ settings: { data: { flush: null as unknown as number } } })],
      ["two seeds' lists", ring({ settings: { seed_provider: [] } })],
      ["a heap among the options", ring({ jvmOptions: ["-Xmx4G"] })],
      ["a volume for hosts", ring({ dataVolume: { sizeGiB: 10 } })],
      [
        "optional TLS on 3.11",
        ring({
          version: CassandraVersion.V3_11,
          tls: RingTls.given({}, { trusted: [CERTIFICATE], internode: "optional" }),
        }),
      ],
    ],
    "empty-rollout": [["no datacenter", ring({ platform: undefined, nodes: undefined, datacenters: {} })]],
  };
}

/** What works, but not as well as its author may think. */
export function warnedRings(): Partial<Record<ProblemCode, (stack: TerraformStack) => unknown>> {
  return {
    "one-copy": ring(keyspace(1)),
    "repair-too-rare": ring({ repair: "monthly" }),
    "no-instance-role": ring({ snapshots: Snapshots.s3("s3://archive") }),
    "even-replication": ring(keyspace(2)),
    "one-zone": ring({ nodes: ["cassandra-1", "cassandra-4"] }),
    "uneven-zones": ring({ nodes: ["cassandra-1", "cassandra-2", "cassandra-3", "cassandra-4"] }),
  };
}

function role(
  stack: TerraformStack,
  props: Partial<NonNullable<CassandraRingProps["roles"]>[number]>,
): NonNullable<CassandraRingProps["roles"]>[number] {
  return { name: "esmond", password: Secret.variable(stack, "esmond-password"), ...props };
}
