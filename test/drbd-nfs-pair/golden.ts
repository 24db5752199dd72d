import type { TerraformStack } from "cdktf";
import { Peer, Secret, ServiceTier, VirtualIp } from "../../lib";
import { renderDrbdResource } from "../../lib/drbd-nfs-pair/drbd-resource";
import type { DrbdNfsPair } from "../../lib/drbd-nfs-pair/drbd-nfs-pair";
import { Fencing } from "../../lib/drbd-nfs-pair/fencing";
import { Template } from "../../lib/testing";
import { newStack } from "../support/stack";
import { newAwsPair, newPair, pairHosts } from "./pairs";

/** A node's files: with everything left out, and with everything said. */
export function nfsPairCases(): { name: string; files: Record<string, string> }[] {
  return [
    pairCase("nfs-smallest", (stack) => newPair(stack)),
    pairCase("nfs-everything", (stack) => {
      const platform = pairHosts(stack);
      const board = (address: string) => ({
        address,
        user: "fence",
        password: Secret.file("/etc/boards/password"),
      });
      const apps = new ServiceTier(stack, "apps", {
        platform,
        nodes: ["app-1", "app-2"],
        port: 8080,
        services: [],
      });
      const pair = newPair(stack, {
        platform,
        fencing: Fencing.ipmi({ "nfs-1": board("10.0.9.91"), "nfs-2": board("10.0.9.92") }),
        virtualIp: VirtualIp.layer2("10.0.1.90/32"),
        exports: [
          { name: "assets", clients: [Peer.cidr("10.0.7.0/24")] },
          { name: "pictures", readOnly: true, squash: "none", fsid: "7" },
          {
            name: "uploads",
            squash: "all",
            anonymous: { user: 33, group: 33 },
            clients: [apps, Peer.cidr("2001:db8:7::/64")],
          },
        ],
        fileSystem: "ext4",
        protocol: "B",
        metaDisk: "/dev/vg0/nfs-notes",
        adopt: { node: "nfs-2", export: "assets" },
        resyncRate: 400,
        linkMbit: 10_000,
        secondLink: { "nfs-1": "192.168.7.1", "nfs-2": "192.168.7.2" },
        token: 5,
        operationTimeout: 90,
        threads: 64,
        version3: true,
        lease: 20,
        grace: 60,
        verifySchedule: "*-*-01 03:00",
        alerts: {
          webhook: Secret.file("/etc/nfs/webhook"),
          command: 'mail -s "NFS: $HA_ALERT_KIND" ops@example.net',
        },
        metrics: { interval: 30 },
      });
      pair.export("pictures").mountOn(apps, "/srv/pictures");
      return pair;
    }),
    pairCase("nfs-aws", (stack) => newAwsPair(stack)),
    pairCase("nfs-watchdog", (stack) =>
      newPair(stack, {
        fencing: Fencing.watchdog({ software: true }),
        exports: [
          { name: "assets", clients: [Peer.cidr("10.0.7.0/24")], quotaGiB: 1.5 },
          { name: "uploads", clients: [Peer.cidr("10.0.7.0/24")] },
        ],
      }),
    ),
  ];
}

function pairCase(
  name: string,
  build: (stack: TerraformStack) => DrbdNfsPair,
): { name: string; files: Record<string, string> } {
  const stack = newStack();
  const pair = build(stack);
  const template = Template.synth(stack).hasNoErrors();
  const file = (path: string, machine = "nfs-1"): string => template.file(machine, path);
  const everything = name === "nfs-everything";
  return {
    name,
    files: {
      "global_common.conf": file("/etc/drbd.d/global_common.conf"),
      "nfs.res": file("/etc/drbd.d/nfs.res"),
      "drbd-nfs": file("/etc/cdktf-ha/drbd-nfs"),
      "corosync.conf": file("/etc/corosync/corosync.conf"),
      "cib.xml": file("/etc/cdktf-ha/drbd-nfs-cib.xml"),
      "nfs.conf": file("/etc/nfs.conf.d/cdktf-ha.conf"),
      "nfs-server.conf": file("/etc/systemd/system/nfs-server.service.d/cdktf-ha.conf"),
      "cdktf-ha.exports": file("/etc/exports.d/cdktf-ha.exports"),
      "firewall.nft": file("/etc/cdktf-ha/firewall.nft"),
      "vote-firewall.nft": file("/etc/cdktf-ha/firewall.nft", "vote-1"),
      "corosync-qnetd": file("/etc/default/corosync-qnetd", "vote-1"),
      "nfs-upkeep.service": file("/etc/systemd/system/cdktf-ha-nfs-upkeep.service"),
      "nfs-upkeep.timer": file("/etc/systemd/system/cdktf-ha-nfs-upkeep.timer"),
      "nfs-verify.service": file("/etc/systemd/system/cdktf-ha-nfs-verify.service"),
      "nfs-verify.timer": file("/etc/systemd/system/cdktf-ha-nfs-verify.timer"),
      ...(name === "nfs-aws"
        ? {
            claim: file("/usr/local/lib/cdktf-ha/drbd-nfs/claim"),
            "fence-try": file("/usr/local/lib/cdktf-ha/drbd-nfs/fence-try"),
            "poweroff.conf": file("/etc/systemd/system/poweroff.target.d/cdktf-ha.conf"),
          }
        : {}),
      ...(name === "nfs-watchdog"
        ? {
            "drbd-nfs-exports": file("/etc/cdktf-ha/drbd-nfs-exports"),
            sbd: file("/etc/default/sbd"),
            "corosync-watchdog.conf": file("/etc/systemd/system/corosync.service.d/cdktf-ha-watchdog.conf"),
            "watchdog.conf": file("/etc/modules-load.d/cdktf-ha-watchdog.conf"),
          }
        : {}),
      ...(everything
        ? {
            "nfs-alert.service": file("/etc/systemd/system/cdktf-ha-nfs-alert.service"),
            "nfs-alert.path": file("/etc/systemd/system/cdktf-ha-nfs-alert.path"),
            "nfs-alert-tmpfiles.conf": file("/etc/tmpfiles.d/cdktf-ha-nfs-alert.conf"),
            "alert-command": file("/usr/local/lib/cdktf-ha/drbd-nfs/alert-command"),
            "nfs-metrics.service": file("/etc/systemd/system/cdktf-ha-nfs-metrics.service"),
            "nfs-metrics.timer": file("/etc/systemd/system/cdktf-ha-nfs-metrics.timer"),
            "nfs-metrics-volume.service": file("/etc/systemd/system/cdktf-ha-nfs-metrics-volume.service"),
            "nfs-metrics-volume.timer": file("/etc/systemd/system/cdktf-ha-nfs-metrics-volume.timer"),
            "srv-pictures.mount": file("/etc/systemd/system/srv-pictures.mount", "app-1"),
            "srv-pictures-again.service": file("/etc/systemd/system/srv-pictures-again.service", "app-1"),
            // for kernels with DRBD 9, which the pair does not use yet
            "drbd-9.res": renderDrbdResource({ ...pair.drbd(), version: "9" }),
          }
        : {}),
    },
  };
}
