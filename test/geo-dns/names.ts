import { AwsProvider } from "@cdktf/provider-aws/lib/provider";
import type { TerraformStack } from "cdktf";
import {
  Continent,
  GeoDns,
  GeoDnsService,
  VirtualIp,
  type GeoDnsProps,
  type ProblemCode,
  type SquidGeoProxyTier,
} from "../../lib";
import { newTier, regionHosts } from "../squid-geo-proxy-tier/tiers";

/** Three regions; the American one has two addresses. */
export function threeRegions(stack: TerraformStack): SquidGeoProxyTier {
  const address = (text: string): { addresses: VirtualIp[] } => ({ addresses: [VirtualIp.layer2(text)] });
  return newTier(stack, {
    regions: {
      uk: { platform: regionHosts(stack, "uk", 1), virtualIp: VirtualIp.layer2("10.1.0.90/24") },
      us: {
        platform: regionHosts(stack, "us", 2),
        virtualIps: {
          one: { ...address("10.2.0.90/24"), preferredNode: "front-us-1" },
          two: { ...address("10.2.0.91/24"), preferredNode: "front-us-2" },
        },
      },
      au: { platform: regionHosts(stack, "au", 3), virtualIp: VirtualIp.layer2("10.3.0.90/24") },
    },
  });
}

export function newDns(stack: TerraformStack, props: Partial<GeoDnsProps> = {}): GeoDns {
  new AwsProvider(stack, "provider", { region: "eu-west-1" });
  return new GeoDns(stack, "dns", {
    name: "www.movember.com",
    tier: threeRegions(stack),
    serves: { uk: ["GB", "IE"], us: [Continent.NORTH_AMERICA], au: ["AU"] },
    defaultRegion: "au",
    via: GeoDnsService.route53({ zoneId: "Z123" }),
    ...props,
  });
}

export const byLatency = (latency: Record<string, string>): GeoDnsService =>
  GeoDnsService.route53({ zoneId: "Z123", latency });

const dns =
  (props: Partial<GeoDnsProps>) =>
  (stack: TerraformStack): GeoDns =>
    newDns(stack, props);

/** Names whose author is wrong, by the code they are refused with: test/bad-input.test.ts tries them all. */
export function refusedNames(): Partial<Record<ProblemCode, [string, (stack: TerraformStack) => unknown][]>> {
  return {
    "no-default-region": [["for the rest of the world", dns({ defaultRegion: "nz" })]],
    "unknown-region": [
      ["a region that the tier has not", dns({ serves: { uk: ["GB"], us: ["US"], nz: ["NZ"] } })],
      ["a region for nobody", dns({ serves: { uk: ["GB"] } })],
      [
        "a region that latency leaves out",
        dns({ serves: { us: ["US"], au: ["AU"] }, via: byLatency({ uk: "eu-west-2" }) }),
      ],
      ["a region of latency that the tier has not", dns({ via: byLatency({ nz: "ap-southeast-2" }) })],
    ],
    "site-not-served": [
      ["of another domain", dns({ name: "www.example.net" })],
      ["that only ends like a site", dns({ name: "www.notmovember.com" })],
    ],
    "place-twice": [
      ["a country in two regions", dns({ serves: { uk: ["GB", "US"], us: ["US"] } })],
      ["a continent in two regions", dns({ serves: { uk: [Continent.EUROPE], us: [Continent.EUROPE] } })],
    ],
    "bad-name": [
      ["a country that is none", dns({ serves: { uk: ["XX"], us: ["US"] } })],
      ["a country by another code", dns({ serves: { uk: ["UK"], us: ["US"] } })],
      ["a DNS name", dns({ name: "http://www.movember.com" })],
      [
        "an AWS region",
        dns({ serves: {}, via: byLatency({ uk: "eu-west-2a", us: "us-east-1", au: "ap-southeast-2" }) }),
      ],
    ],
    "one-routing-policy": [
      [
        "places and latency",
        dns({ via: byLatency({ uk: "eu-west-2", us: "us-east-1", au: "ap-southeast-2" }) }),
      ],
    ],
    "bad-path": [["of the checks", dns({ checkPath: "alive" })]],
    "number-out-of-range": [["a TTL", () => GeoDnsService.route53({ zoneId: "Z", ttl: 0 })]],
    "wrong-kind": [
      ["Route 53's interval", () => GeoDnsService.route53({ zoneId: "Z", checkInterval: 20 as never })],
    ],
  };
}
