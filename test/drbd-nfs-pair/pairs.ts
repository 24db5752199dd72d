import type { TerraformStack } from "cdktf";
import { Peer, Secret, VirtualIp, type SshPlatform } from "../../lib";
import { DrbdNfsPair } from "../../lib/drbd-nfs-pair/drbd-nfs-pair";
import type { DrbdNfsPairProps } from "../../lib/drbd-nfs-pair/pair-props";
import { Fencing } from "../../lib/drbd-nfs-pair/fencing";
import type { LibvirtDomain } from "../../lib/drbd-nfs-pair/libvirt-fencing";
import { Manager, type HeartbeatProps } from "../../lib/drbd-nfs-pair/manager";
import { newAws, newRack } from "../support/stack";

/** Two file servers and a third machine, each in a rack of its own, and application servers. */
export function pairHosts(stack: TerraformStack): SshPlatform {
  return newRack(stack, {
    hosts: {
      "nfs-1": { address: "10.0.1.91/24", zone: "rack-1" },
      "nfs-2": { address: "10.0.1.92/24", zone: "rack-2" },
      "vote-1": { address: "10.0.1.93/24", zone: "rack-3" },
      "app-1": { address: "10.0.1.66/24", zone: "rack-1" },
      "app-2": { address: "10.0.1.67/24", zone: "rack-2" },
    },
  });
}

/** In three zones of AWS. */
export function newAwsPair(stack: TerraformStack, props: Partial<DrbdNfsPairProps> = {}): DrbdNfsPair {
  return newPair(stack, {
    ...("platform" in props ? {} : { platform: newAws(stack) }),
    nodes: { "nfs-1": { privateAddress: "10.1.0.91" }, "nfs-2": { privateAddress: "10.1.1.92" } },
    quorum: { "vote-1": { zone: "c", privateAddress: "10.1.2.93" } },
    fencing: Fencing.aws(),
    virtualIp: VirtualIp.routeTable("10.9.0.90", { routeTableIds: ["rtb-1", "rtb-2"] }),
    disk: undefined,
    dataVolume: { sizeGiB: 100 },
    exports: [{ name: "assets", clients: [Peer.cidr("10.1.0.66")] }],
    ...props,
  });
}

/** The fence agent of a switch that the hosts' owner has. */
export const SWITCH = Fencing.command({
  name: "fence_our_switch",
  program: "#!/bin/sh\nexit 1\n",
  parameters: { ip: "10.0.1.1" },
});

/** Nodes that are virtual machines of two hypervisors. */
export const DOMAIN: LibvirtDomain = {
  address: "10.0.8.21",
  user: "fence",
  privateKey: Secret.file("/etc/hypervisors/key"),
  hostKey: "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGhvc3Qga2V5IG9mIGEgaHlwZXJ2aXNvcg== root@virt-1",
  domain: "files-1",
};
export const OTHER_DOMAIN: LibvirtDomain = {
  ...DOMAIN,
  address: "10.0.8.22",
  port: 2222,
  domain: "files-2",
};

/** The pair of 2008. */
export function newHeartbeatPair(
  stack: TerraformStack,
  settings: Partial<HeartbeatProps> = {},
  props: Partial<DrbdNfsPairProps> = {},
): DrbdNfsPair {
  const manager = Manager.heartbeat({ iAcceptSplitBrain: true, ...settings });
  return newPair(stack, { quorum: undefined, fencing: undefined, manager, ...props });
}

export function newPair(stack: TerraformStack, props: Partial<DrbdNfsPairProps> = {}): DrbdNfsPair {
  return new DrbdNfsPair(stack, "files", {
    ...("platform" in props ? {} : { platform: pairHosts(stack) }),
    nodes: ["nfs-1", "nfs-2"],
    quorum: ["vote-1"],
    fencing: SWITCH,
    virtualIp: VirtualIp.layer2("10.0.1.90/24"),
    disk: "/dev/vg0/nfs",
    secret: Secret.variable(stack, "pair-secret"),
    exports: [{ name: "assets", clients: [Peer.cidr("10.0.1.66")] }],
    ...props,
  } as DrbdNfsPairProps);
}
