import { join } from "node:path";
import type { Machine } from "../platform/machine";
import { Fact, type ServiceDescription } from "../push/service";
import { scriptText } from "../script-text";
import { AWS_PACKAGES } from "../virtual-ip/aws-program";
import type { VirtualIp } from "../virtual-ip/virtual-ip";

/** Pacemaker's agent for an address that a cloud's API leads to a machine: our own. */
export const ADDRESS_AGENT = "ocf:cdktf-ha:moving-address";

/** What this agent takes on a machine; nothing for an address that is announced on the network. */
export function addressAgent(
  virtualIp: VirtualIp,
  machine: Machine,
): Required<Pick<ServiceDescription, "packages" | "files">> {
  const { claim } = virtualIp.on(machine);
  if (claim === undefined) return { packages: [], files: [] };
  return {
    packages: AWS_PACKAGES,
    files: [
      { path: "/usr/local/lib/cdktf-ha/drbd-nfs/claim", text: claim, mode: "0755", onChange: "none" },
      { path: "/etc/cdktf-ha/drbd-nfs-interface", text: `${Fact.INTERFACE}\n`, onChange: "none" },
      {
        path: "/usr/lib/ocf/resource.d/cdktf-ha/moving-address",
        text: scriptText(join(__dirname, "on-machine", "moving-address.sh")),
        mode: "0755",
        onChange: "none",
      },
    ],
  };
}
