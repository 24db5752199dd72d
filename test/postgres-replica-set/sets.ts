import type { TerraformStack } from "cdktf";
import { PostgresReplicaSet, Secret, type PostgresReplicaSetProps, type SshPlatform } from "../../lib";
import { newRack } from "../support/stack";

/** Any key will do: the parser looks at its form. */
export const HOST_KEY =
  "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFdLZTjhBv8yVc3RZfOKbzI9cUPqRzXv4gGwVdVqJq4X root@keeper";

/** Seven hosts in three racks. */
export function setHosts(stack: TerraformStack): SshPlatform {
  return newRack(stack, {
    hosts: Object.fromEntries(
      [1, 2, 3, 4, 5, 6, 7].map((n) => [
        `pg-${n}`,
        { address: `10.0.1.${40 + n}/24`, zone: `rack-${((n - 1) % 3) + 1}` },
      ]),
    ),
  });
}

/** A set of three members, each in a rack of its own. */
export function newSet(
  stack: TerraformStack,
  props: Partial<PostgresReplicaSetProps> = {},
): PostgresReplicaSet {
  return new PostgresReplicaSet(stack, "metadata", {
    ...("platform" in props ? {} : { platform: setHosts(stack) }),
    members: ["pg-1", "pg-2", "pg-3"],
    memberPassword: Secret.variable(stack, "member-password"),
    ...props,
  } as PostgresReplicaSetProps);
}
