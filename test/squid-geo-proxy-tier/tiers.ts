import type { TerraformStack } from "cdktf";
import { Construct } from "constructs";
import {
  Servers,
  SquidGeoProxyTier,
  VirtualIp,
  type SquidGeoProxyTierProps,
  type SshPlatform,
} from "../../lib";
import { newRack } from "../support/stack";

/** Hosts of one region: two proxies, and one more. */
export function regionHosts(stack: Construct, region: string, network: number): SshPlatform {
  return newRack(new Construct(stack, `site-${region}`), {
    hosts: Object.fromEntries(
      [1, 2, 3].map((n) => [
        `front-${region}-${n}`,
        { address: `10.${network}.0.${10 + n}/24`, zone: `rack-${n}` },
      ]),
    ),
  });
}

export const apps = (): Servers => Servers.at({ "app-1": "10.9.0.66:8080", "app-2": "10.9.0.67:8080" });

/** One region with a pair. */
export function newTier(
  stack: TerraformStack,
  props: Partial<SquidGeoProxyTierProps> = {},
): SquidGeoProxyTier {
  return new SquidGeoProxyTier(stack, "front", {
    ...(props.regions
      ? {}
      : {
          regions: {
            uk: { platform: regionHosts(stack, "uk", 1), virtualIp: VirtualIp.layer2("10.1.0.90/24") },
          },
        }),
    sites: [".movember.com", ".movember.com.au"],
    origins: apps(),
    ...props,
  } as SquidGeoProxyTierProps);
}
