import type { TerraformStack } from "cdktf";
import { VirtualIp } from "../../lib";
import type { DrbdNfsPair } from "../../lib/drbd-nfs-pair/drbd-nfs-pair";
import { Template } from "../../lib/testing";
import { newStack } from "../support/stack";
import { newHeartbeatPair } from "./pairs";

/** A node's files where Heartbeat is the manager. */
export function heartbeatCases(): { name: string; files: Record<string, string> }[] {
  return [
    heartbeatCase("nfs-heartbeat", (stack) => newHeartbeatPair(stack)),
    heartbeatCase("nfs-heartbeat-broadcast", (stack) =>
      newHeartbeatPair(
        stack,
        { transport: "bcast", keepalive: 2, warntime: 5, deadtime: 15, initdead: 60 },
        { virtualIp: VirtualIp.layer2("10.0.1.90/32"), fileSystem: "ext4" },
      ),
    ),
  ];
}

function heartbeatCase(
  name: string,
  build: (stack: TerraformStack) => DrbdNfsPair,
): { name: string; files: Record<string, string> } {
  const stack = newStack();
  build(stack);
  const template = Template.synth(stack).hasNoErrors();
  const file = (path: string): string => template.file("nfs-1", path);
  return {
    name,
    files: {
      "ha.cf": file("/etc/ha.d/ha.cf"),
      haresources: file("/etc/ha.d/haresources"),
      authkeys: file("/etc/ha.d/authkeys"),
      "heartbeat.conf": file("/etc/systemd/system/heartbeat.service.d/cdktf-ha.conf"),
      "global_common.conf": file("/etc/drbd.d/global_common.conf"),
      "nfs.res": file("/etc/drbd.d/nfs.res"),
      "drbd-nfs": file("/etc/cdktf-ha/drbd-nfs"),
      "firewall.nft": file("/etc/cdktf-ha/firewall.nft"),
    },
  };
}
