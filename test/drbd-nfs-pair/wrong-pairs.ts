import type { TerraformStack } from "cdktf";
import { Peer, Secret, VirtualIp, type ProblemCode } from "../../lib";
import type { DrbdNfsPair } from "../../lib/drbd-nfs-pair/drbd-nfs-pair";
import type { DrbdNfsPairProps } from "../../lib/drbd-nfs-pair/pair-props";
import { Fencing } from "../../lib/drbd-nfs-pair/fencing";
import type { HeartbeatProps } from "../../lib/drbd-nfs-pair/manager";
import type { AgentSwitch } from "../../lib/drbd-nfs-pair/agent-fencing";
import type { LibvirtDomain } from "../../lib/drbd-nfs-pair/libvirt-fencing";
import { DOMAIN, OTHER_DOMAIN, newAwsPair, newHeartbeatPair, newPair, pairHosts } from "./pairs";

/** Pairs whose author is wrong, by the code they are refused with: test/bad-input.test.ts tries them all. */
const pair =
  (props: Partial<DrbdNfsPairProps>) =>
  (stack: TerraformStack): DrbdNfsPair =>
    newPair(stack, props);
const heartbeat =
  (settings: Partial<HeartbeatProps>, props: Partial<DrbdNfsPairProps> = {}) =>
  (stack: TerraformStack): DrbdNfsPair =>
    newHeartbeatPair(stack, settings, props);
const board = { address: "10.0.9.91", user: "fence", password: Secret.file("/etc/boards/password") };
const agent = (one: Partial<AgentSwitch>, two: Partial<AgentSwitch> = {}) =>
  pair({
    fencing: Fencing.agent("fence_pve", {
      "nfs-1": { plug: "101", parameters: { ip: "10.0.8.5" }, ...one },
      "nfs-2": { plug: "102", parameters: { ip: "10.0.8.5" }, ...two },
    }),
  });
const libvirt = (one: Partial<LibvirtDomain>, two: Partial<LibvirtDomain> = {}) =>
  pair({
    fencing: Fencing.libvirt({ "nfs-1": { ...DOMAIN, ...one }, "nfs-2": { ...OTHER_DOMAIN, ...two } }),
  });

type Build = (stack: TerraformStack) => unknown;

export function refusedPairs(): Partial<Record<ProblemCode, [string, Build][]>> {
  return {
    "not-a-pair": [
      ["one node", pair({ nodes: ["nfs-1"] })],
      ["three nodes", pair({ nodes: ["nfs-1", "nfs-2", "app-1"] })],
    ],
    "no-third-vote": [
      ["none", pair({ quorum: undefined })],
      ["two quorum hosts", pair({ quorum: ["vote-1", "app-1"] })],
      ["a node of the pair", voteOfANode],
    ],
    "no-nodes": [["no quorum host", pair({ quorum: [] })]],
    "no-fencing": [
      ["a node without a board", pair({ fencing: Fencing.ipmi({ "nfs-1": board }) })],
      ["two nodes of one board", pair({ fencing: Fencing.ipmi({ "nfs-1": board, "nfs-2": board }) })],
      ["an agent that switches nobody off", () => Fencing.agent("fence_heuristics_ping", {})],
      ["an agent for shared storage", () => Fencing.agent("fence_scsi", {})],
      ["libvirt's own agent", () => Fencing.agent("fence_virsh", {})],
      [
        "two systems of a board, one of them unnamed",
        pair({
          fencing: Fencing.redfish({
            "nfs-1": board,
            "nfs-2": { ...board, systemsUri: "/redfish/v1/Systems/2" },
          }),
        }),
      ],
      [
        "one domain, spelled in two ways",
        libvirt(
          { domain: "6B1F7DD6-AB8D-4B4C-8C5C-0F7D2C5B9C11" },
          { ...DOMAIN, domain: "6b1f7dd6ab8d4b4c8c5c0f7d2c5b9c11", port: 22 },
        ),
      ],
      ["two nodes of one plug", agent({}, { plug: "101" })],
      ["two nodes of one domain", libvirt({}, { ...DOMAIN, port: undefined })],
      ["none", pair({ fencing: undefined })],
      ["AWS's on hosts", pair({ fencing: Fencing.aws() })],
    ],
    "watchdog-too-short": [
      ["for the usual token", pair({ fencing: Fencing.watchdog({ timeout: 15 }) })],
      ["for a slow one", pair({ fencing: Fencing.watchdog({ timeout: 30 }), token: 9 })],
    ],
    "deadtime-too-short": [
      ["of DRBD's", heartbeat({ deadtime: 5 })],
      ["with a slow keepalive", heartbeat({ keepalive: 2, deadtime: 6 })],
    ],
    "heartbeat-times": [
      ["warned too late", heartbeat({ warntime: 10 })],
      ["warned at once", heartbeat({ keepalive: 3 })],
      ["dead at boot", heartbeat({ deadtime: 15, initdead: 20 })],
    ],
    "conflicting-setting": [
      ["a password that all can read", agent({ parameters: { passwd: "s" } })],
      ["a community", agent({ parameters: { community: "public" } })],
      ["no switching", agent({ parameters: { pcmk_reboot_action: "status" } })],
      ["what does not look", agent({ parameters: { method: "cycle" } })],
      ["who is not found is off", agent({ parameters: { missing_as_off: "1" } })],
      [
        "version 3 by an elastic address",
        (stack) => newAwsPair(stack, { virtualIp: VirtualIp.elastic(), version3: true }),
      ],
      ["a third vote for Heartbeat", heartbeat({}, { quorum: ["vote-1"] })],
      ["fencing for Heartbeat", heartbeat({}, { fencing: Fencing.none({ iAcceptSplitBrain: true }) })],
      ["a token for Heartbeat", heartbeat({}, { token: 3 })],
      [
        "a second link for Heartbeat",
        heartbeat({}, { secondLink: { "nfs-1": "192.168.7.1", "nfs-2": "192.168.7.2" } }),
      ],
      ["no disk on hosts", pair({ disk: undefined })],
      ["a quota on ext4", pair({ fileSystem: "ext4", exports: [{ name: "a", quotaGiB: 1 }] })],
      ["a volume on hosts", pair({ dataVolume: { sizeGiB: 1 } })],
      ["a disk on AWS", (stack) => newAwsPair(stack, { disk: "/dev/nvme1n1" })],
      ["no volume on AWS", (stack) => newAwsPair(stack, { dataVolume: undefined })],
    ],
    "unknown-node": [
      [
        "a board too many",
        pair({ fencing: Fencing.redfish({ "nfs-1": board, "nfs-2": board, "nfs-3": board }) }),
      ],
      [
        "an address too many",
        pair({ secondLink: { "nfs-1": "192.168.7.1", "nfs-2": "192.168.7.2", "nfs-3": "192.168.7.3" } }),
      ],
      ["a server that is taken over", pair({ adopt: { node: "nfs-3", export: "assets" } })],
    ],
    "bad-name": [
      ["a domain of the shell's", libvirt({ domain: "nfs-1; true" })],
      ["two domains to the agent", libvirt({ domain: "nfs-1,nfs-2" })],
      ["a domain that is an option", libvirt({ domain: "--all" })],
      ["a domain's passing id", libvirt({ domain: "7" })],
      ["a hypervisor's user", libvirt({ user: "-oProxyCommand=true" })],
      ["two plugs to the agent", agent({ plug: "101;nfs-2:103" })],
      ["an agent of Debian's", () => Fencing.agent("pve", {})],
      ["an agent", () => Fencing.command({ name: "our_switch", program: "#!/bin/sh\n" })],
      ["an export", pair({ exports: [{ name: "a b" }] })],
    ],
    "bad-text": [
      ["a parameter of two lines", agent({ parameters: { ip: "10.0.8.5\nmissing_as_off=1" } })],
      ["a parameter's name", agent({ parameters: { "ip=10.0.8.5 x": "1" } })],
      [
        "a path for a program",
        () => Fencing.command({ name: "fence_our_switch", program: "/usr/sbin/fence" }),
      ],
    ],
    "virtual-ip-mode": [
      ["not on a segment", pair({ virtualIp: VirtualIp.secondaryPrivateIp("10.0.1.90") })],
      ["for Heartbeat", heartbeat({}, { virtualIp: VirtualIp.secondaryPrivateIp("10.0.1.90") })],
      [
        "on a segment of AWS's",
        (stack) => newAwsPair(stack, { virtualIp: VirtualIp.layer2("10.1.0.90/24") }),
      ],
    ],
    "virtual-ip-outside-subnet": [["a pair", pair({ virtualIp: VirtualIp.layer2("10.0.2.90/24") })]],
    "virtual-ip-is-a-node": [["a pair", pair({ virtualIp: VirtualIp.layer2("10.0.1.92/24") })]],
    "bad-key": [["a hypervisor's fingerprint", libvirt({ hostKey: "SHA256:abcdefg" })]],
    "port-out-of-range": [["a hypervisor's", libvirt({ port: 0 })]],
    "bad-path": [
      ["a disk", pair({ disk: "nfs" })],
      ["a watchdog", () => Fencing.watchdog({ device: "watchdog" })],
      ["a disk for notes", pair({ metaDisk: "/srv/notes" })],
      ["notes on the data", pair({ metaDisk: "/dev/vg0/nfs" })],
      ["metrics", pair({ metrics: { directory: "var/metrics" } })],
      ["a mount", mounted("assets")],
      ["a mount whose name systemd escapes", mounted("/srv/our-assets")],
    ],
    "secret-not-shared": [
      ["of a pair", pair({ secret: Secret.generated("pair") })],
      ["of an agent", agent({ password: Secret.generated("fence") })],
      ["of a hypervisor", libvirt({ privateKey: Secret.generated("fence") })],
    ],
    "duplicate-name": [["an export", pair({ exports: [{ name: "a" }, { name: "a" }] })]],
    "no-exports": [["none", pair({ exports: [] })]],
    "fsid-clash": [
      [
        "two numbers",
        pair({
          exports: [
            { name: "a", fsid: "1" },
            { name: "b", fsid: "1" },
          ],
        }),
      ],
    ],
    "bad-fsid": [
      ["a word", pair({ exports: [{ name: "a", fsid: "root" }] })],
      ["zero", pair({ exports: [{ name: "a", fsid: "0" }] })],
    ],
    "export-to-everybody": [
      ["anyone", pair({ exports: [{ name: "a", clients: [Peer.anyone()] }] })],
      ["all of IPv4", pair({ exports: [{ name: "a", clients: [Peer.cidr("0.0.0.0/0")] }] })],
      ["all of IPv6", pair({ exports: [{ name: "a", clients: [Peer.cidr("::/0")] }] })],
    ],
    "bad-cidr": [["an export to *", () => Peer.cidr("*")]],
    "unknown-export": [
      ["a name", (stack) => newPair(stack).export("pictures")],
      ["of a server that is taken over", pair({ adopt: { node: "nfs-2", export: "pictures" } })],
    ],
    "rate-above-link": [
      ["of the usual link", pair({ resyncRate: 120 })],
      ["of a slow link", pair({ resyncRate: 12, linkMbit: 100 })],
    ],
    "alert-to-nobody": [
      ["nobody", pair({ alerts: {} })],
      ["an empty command", pair({ alerts: { command: " " } })],
    ],
    "bad-address": [
      ["a hypervisor's with its port", libvirt({ address: "10.0.8.21:22" })],
      ["one address of a second link", pair({ secondLink: { "nfs-1": "192.168.7.1" } })],
      ["the first link again", pair({ secondLink: { "nfs-1": "192.168.7.1", "nfs-2": "10.0.1.92" } })],
      ["a name to ping", pair({ pingHosts: ["router.example.net"] })],
    ],
    "number-out-of-range": [
      ["a token", pair({ token: 0.2 })],
      ["a quota", pair({ exports: [{ name: "a", quotaGiB: 0 }] })],
      ["a delay", () => Fencing.aws({ delay: 90 })],
      ["a watchdog", () => Fencing.watchdog({ timeout: 601 })],
      ["a watchdog of half a second", () => Fencing.watchdog({ timeout: 25.5 })],
      ["a rate", pair({ resyncRate: 0 })],
      ["a link", pair({ linkMbit: 1 })],
      ["metrics", pair({ metrics: { interval: 0 } })],
      ["a time-out", pair({ operationTimeout: 5 })],
      ["threads", pair({ threads: 0 })],
      ["a lease", pair({ lease: 1 })],
      ["a grace below the lease", pair({ lease: 60, grace: 40 })],
      ["a fraction of a keepalive", heartbeat({ keepalive: 0.5 })],
      ["a deadtime", heartbeat({ deadtime: 601 })],
    ],
  };
}

export function warnedPairs(): Partial<Record<ProblemCode, Build>> {
  return {
    "split-brain-accepted": pair({ fencing: Fencing.none({ iAcceptSplitBrain: true }) }),
    "software-watchdog": pair({ fencing: Fencing.watchdog({ software: true }) }),
    "quorum-in-one-zone": pair({ quorum: ["app-1"] }),
    "one-zone": pair({ nodes: ["nfs-1", "app-1"] }),
    "not-durable": pair({ protocol: "A" }),
    "nobody-admitted": pair({ exports: [{ name: "assets" }] }),
  };
}

function mounted(where: string) {
  return (stack: TerraformStack): unknown => {
    const files = newPair(stack);
    return files.export("assets").mountOn(files, where);
  };
}

function voteOfANode(stack: TerraformStack): unknown {
  const platform = pairHosts(stack);
  const host = platform.host("nfs-2");
  return newPair(stack, { platform, nodes: { "nfs-1": {}, "nfs-2": host }, quorum: { "nfs-2": host } });
}
