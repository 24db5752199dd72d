import { KeepalivedPair, Peer, Port, Secret, ServiceTier, VirtualIp, type Service } from "cdktf-ha-clusters";
import type { TerraformStack } from "cdktf";
import { CLIENT } from "../../../machines/aws/cloud";
import type { Lab } from "../../../machines/lab";
import { siteService } from "../../machines/support/site";
import { OPERATORS, platformOf, type Network } from "./site";

export const ROUTED = "10.99.0.10";
export const SECONDARY = "10.77.1.100";

const secret = Secret.awsSecretsManager("site/vault");
/** A text that only this machine may read, with the right of its own role. */
const secretService: Service = {
  name: "vault",
  describe: () => ({
    files: [{ path: "/etc/vault", text: `${secret.placeholder}\n`, mode: "0600", onChange: "none" }],
    secrets: [secret],
  }),
};

/**
 * Addresses that AWS moves. `edge` is in two zones and has an elastic address and one that route tables lead to; `inner`
 * is in one zone and has a secondary private address.
 */
export function addresses(lab: Lab, network: Network, advertInterval = 0.6): (stack: TerraformStack) => void {
  return (stack) => {
    const platform = platformOf(stack, lab, network);
    const tier = (
      name: string,
      nodes: Record<string, { zone: string; privateAddress: string }>,
    ): ServiceTier => {
      const made = new ServiceTier(stack, name, {
        platform,
        nodes,
        port: 80,
        services: name === "inner" ? [siteService(), secretService] : [siteService()],
      });
      for (const client of [Peer.cidr(CLIENT), ...OPERATORS])
        made.connections.allowFrom(client, Port.tcp(80));
      return made;
    };
    const edge = tier("edge", {
      "edge-1": { zone: "a", privateAddress: "10.77.1.11" },
      "edge-2": { zone: "b", privateAddress: "10.77.2.11" },
    });
    const inner = tier("inner", {
      "inner-1": { zone: "a", privateAddress: "10.77.1.21" },
      "inner-2": { zone: "a", privateAddress: "10.77.1.22" },
    });
    const pair = (id: string, { machines }: ServiceTier, addresses: readonly VirtualIp[]): void => {
      new KeepalivedPair(stack, id, {
        platform,
        nodes: Object.fromEntries(machines.map((machine) => [machine.name, machine])),
        virtualIps: { main: { addresses, advertInterval } },
        units: ["nginx.service"],
      });
    };
    pair("edge-ip", edge, [
      VirtualIp.elastic(),
      VirtualIp.routeTable(ROUTED, { routeTableIds: [network.routeTableId] }),
    ]);
    pair("inner-ip", inner, [VirtualIp.secondaryPrivateIp(SECONDARY)]);
  };
}
