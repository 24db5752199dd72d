import {
  CassandraInstallation,
  CassandraRing,
  CassandraVersion,
  Peer,
  Secret,
  Snapshots,
  type CassandraRingProps,
  type NodeProps,
} from "cdktf-ha-clusters";
import type { TerraformStack } from "cdktf";
import type { Cloud } from "../../../machines/aws/cloud";
import type { Lab } from "../../../machines/lab";
import { nodeSpec, QUICK, RELEASE, VARIABLES } from "../../machines/support/ring-site";
import { platformOf, startCloud, type Network } from "./site";

export const RING = {
  "cassandra-1": "10.77.1.61",
  "cassandra-2": "10.77.2.62",
  "cassandra-3": "10.77.3.63",
  "cassandra-4": "10.77.1.64",
} as const;
export type Member = keyof typeof RING;
export const THREE: readonly Member[] = ["cassandra-1", "cassandra-2", "cassandra-3"];
/** In the VPC as well, and none of the stack's: one that the ring is told of, and one that it is not. */
export const DECLARED = "10.77.1.31";
const STRANGER = "10.77.1.41";
export const SNAPSHOTS = "archive-snapshots";

/** The network, with a bucket for snapshots, secrets, and images that have Cassandra's software. */
export async function startArchive(): Promise<{ lab: Lab; cloud: Cloud; network: Network }> {
  const { layers, diskMiB } = nodeSpec("any");
  const site = await startCloud({ machines: () => ({ layers, diskMiB }), buckets: [SNAPSHOTS] });
  const { lab, cloud } = site;
  await cloud.call("s3", "create_bucket", {
    Bucket: SNAPSHOTS,
    CreateBucketConfiguration: { LocationConstraint: "eu-west-1" },
  });
  for (const [name, value] of [
    ["admin", VARIABLES["ring-password"]],
    ["esmond", VARIABLES["esmond-password"]],
  ]) {
    await cloud.call("secretsmanager", "create_secret", {
      Name: `archive/cassandra-${name}`,
      SecretString: value,
    });
  }
  await Promise.all([
    lab.add("client", { address: `${DECLARED}/24` }),
    lab.add("stranger", { address: `${STRANGER}/24` }),
  ]);
  return site;
}

/** The production ring of examples/cassandra-ring, smaller: a node in each zone, with a volume of its own. */
export const archive =
  (
    lab: Lab,
    network: Network,
    members: Partial<Record<Member, NodeProps>>,
    props: Partial<CassandraRingProps> = {},
  ) =>
  (stack: TerraformStack): void => {
    const nodes = Object.entries(members).map(([name, node]): [string, NodeProps] => [
      name,
      { privateAddress: RING[name as Member], ...node },
    ]);
    new CassandraRing(stack, "ring", {
      clusterName: "Measurement Archive",
      version: CassandraVersion.V5_0,
      installation: CassandraInstallation.directory(RELEASE, `/opt/cassandra-${RELEASE}`),
      platform: platformOf(stack, lab, network, { instanceType: "r6i.large" }),
      nodes: Object.fromEntries(nodes),
      dataVolume: { sizeGiB: 2 },
      keyspaces: [{ name: "esmond", replicationFactor: 3 }],
      superuser: { password: Secret.awsSecretsManager("archive/cassandra-admin") },
      roles: [
        {
          name: "esmond",
          password: Secret.awsSecretsManager("archive/cassandra-esmond"),
          grants: { esmond: ["ALL PERMISSIONS"] },
        },
      ],
      // the test begins them itself: a test may run at midnight
      snapshots: Snapshots.s3(`s3://${SNAPSHOTS}/cassandra`, { keep: 1, schedule: "2100-01-01" }),
      clients: [Peer.cidr(`${DECLARED}/32`)],
      heapMiB: 400,
      openFiles: 20_000,
      jvmOptions: QUICK,
      ...props,
    });
  };
