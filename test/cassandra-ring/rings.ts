import type { TerraformStack } from "cdktf";
import { CassandraRing, Secret, type CassandraRingProps, type SshPlatform } from "../../lib";
import { newRack } from "../support/stack";

/** Six hosts in three racks. */
export function ringHosts(stack: TerraformStack): SshPlatform {
  return newRack(stack, {
    hosts: Object.fromEntries(
      [1, 2, 3, 4, 5, 6].map((n) => [
        `cassandra-${n}`,
        { address: `10.0.1.${60 + n}/24`, zone: `rack-${((n - 1) % 3) + 1}` },
      ]),
    ),
  });
}

/** A ring of three nodes, each in a rack of its own. */
export function newRing(stack: TerraformStack, props: Partial<CassandraRingProps> = {}): CassandraRing {
  const { datacenters } = props;
  return new CassandraRing(stack, "ring", {
    clusterName: "Esmond Cluster",
    ...(datacenters || "platform" in props ? {} : { platform: ringHosts(stack) }),
    ...(datacenters ? {} : { nodes: ["cassandra-1", "cassandra-2", "cassandra-3"] }),
    superuser: { password: Secret.variable(stack, "ring-password") },
    ...props,
  });
}

/** The look of one is enough. */
export const CERTIFICATE = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
