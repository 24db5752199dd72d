import type { TerraformStack } from "cdktf";
import {
  Peer,
  RefreshRule,
  Secret,
  Servers,
  ServerTls,
  SplashPage,
  VirtualIp,
  type ProblemCode,
  type SquidGeoProxyTier,
  type SquidGeoProxyTierProps,
} from "../../lib";
import { newAws } from "../support/stack";
import { apps, newTier, regionHosts } from "./tiers";

/** Tiers whose author is wrong, by the code they are refused with: test/bad-input.test.ts tries them all. */
const tier =
  (props: Partial<SquidGeoProxyTierProps>) =>
  (stack: TerraformStack): SquidGeoProxyTier =>
    newTier(stack, props);
const certificate = (path: string, virtualIp?: string): { certificate: Secret; virtualIp?: string } => ({
  certificate: Secret.file(path),
  virtualIp,
});
const pool = (props: object): Partial<SquidGeoProxyTierProps> => ({
  origins: { all: { to: apps(), ...props } },
});

export function refusedTiers(): Partial<Record<ProblemCode, [string, (stack: TerraformStack) => unknown][]>> {
  return {
    "open-proxy": [
      ["no sites", tier({ sites: [] })],
      ["everybody purges", tier({ purgers: [Peer.anyone()] })],
      ["everybody manages", tier({ managers: [Peer.cidr("::/0")] })],
    ],
    "no-default-pool": [
      ["every pool has a condition", tier(pool({ paths: ["/api"] }))],
      ["two pools take everything", tier({ origins: { one: { to: apps() }, two: { to: apps() } } })],
    ],
    "one-certificate": [
      ["two on every address", tier({ https: { certificates: [certificate("/a"), certificate("/b")] } })],
    ],
    "origin-is-a-proxy": [
      ["a node of the tier", tier({ origins: Servers.at({ app: "10.1.0.12:80" }) })],
      ["a sibling's internal port", tier({ origins: Servers.at({ app: "10.1.0.12:3128" }) })],
      ["the node itself", tier({ origins: Servers.at({ app: "127.0.0.1:80" }) })],
      ["the site itself", tier({ origins: Servers.at({ app: "movember.com:80" }) })],
      ["the tier's own address", tier({ origins: Servers.at({ app: "10.1.0.90:80" }) })],
    ],
    "array-too-small": [["CARP in a pair", tier({ siblings: { protocol: "carp" } })]],
    "cache-too-large": [
      ["for the volume", tier({ cache: { disk: { volumeGiB: 10, sizeMiB: 9000 } } })],
      [
        "for the instance's memory",
        (stack) =>
          newTier(stack, {
            regions: { eu: { platform: newAws(stack), nodes: { "eu-1": { instanceType: "m5.large" } } } },
            cache: { memoryMiB: 9000 },
          }),
      ],
    ],
    "no-nodes": [
      ["no region", tier({ regions: {} })],
      [
        "a region without a proxy",
        (stack) => newTier(stack, { regions: { uk: { platform: regionHosts(stack, "uk", 1), nodes: [] } } }),
      ],
    ],
    "tls-without-certificate": [["a tier", tier({ https: { certificates: [] } })]],
    "virtual-ip-mode": [
      [
        "a certificate for an elastic address",
        (stack) =>
          newTier(stack, {
            regions: { eu: { platform: newAws(stack), virtualIp: VirtualIp.elastic() } },
            https: { certificates: [certificate("/a", "main")] },
          }),
      ],
      ["a certificate's group", tier({ https: { certificates: [certificate("/a", "blue")] } })],
    ],
    "no-listener": [["a tier", tier({ httpPort: false })]],
    "listener-clash": [
      ["the internal port", tier({ httpPort: 3128 })],
      ["sshd", tier({ httpPort: 22 })],
    ],
    "no-servers": [
      ["a pool", tier({ origins: Servers.at({}) })],
      ["all stand by", tier(pool({ settings: { "app-1": { standby: true }, "app-2": { standby: true } } }))],
    ],
    "unknown-server": [["of a pool", tier(pool({ settings: { "app-9": {} } }))]],
    "http-only": [
      [
        "origins that speak tcp",
        tier({
          origins: {
            balanceTarget: () => ({ servers: [{ name: "a", address: "10.9.0.1", port: 1 }], mode: "tcp" }),
          },
        }),
      ],
    ],
    "bad-name": [
      ["a site", tier({ sites: ["http://movember.com"] })],
      ["a site that is a word", tier({ sites: ["movember"] })],
      [
        "a region",
        (stack) => newTier(stack, { regions: { "u k": { platform: regionHosts(stack, "uk", 1) } } }),
      ],
      ["a pool", tier({ origins: { "a b": { to: apps() } } })],
      ["a header to hide", tier({ hideHeaders: ["X Y"] })],
      ["every header to hide", tier({ hideHeaders: ["All"] })],
      ["an origin", tier({ origins: Servers.at({ "a b": "10.9.0.1:80" }) })],
      ["an extension", () => RefreshRule.files([".css"])],
    ],
    "duplicate-name": [
      [
        "pool and origin together",
        tier({
          origins: {
            a: { to: Servers.at({ "b-c": "10.9.0.1:80" }) },
            "a-b": { to: Servers.at({ c: "10.9.0.2:80" }), paths: ["/b"] },
          },
        }),
      ],
    ],
    "bad-path": [
      ["of a pool", tier({ origins: { all: { to: apps() }, api: { to: apps(), paths: ["api"] } } })],
      ["of a rule", () => RefreshRule.path("/a?b")],
      ["of the cache", tier({ cache: { disk: { directory: "srv" } } })],
      ["a cache in the system's directory", tier({ cache: { disk: { directory: "/etc/squid" } } })],
      ["a cache in everybody's directory", tier({ cache: { disk: { directory: "/var/spool/" } } })],
      ["of the metrics", tier({ metrics: { directory: "metrics" } })],
      ["a page to warm without its host", tier({ cache: { warm: ["/logo.png"] } })],
      ["a page to warm with a space", tier({ cache: { warm: ["http://www.movember.com/a b"] } })],
      ["a page to warm with a password", tier({ cache: { warm: ["http://a:b@www.movember.com/"] } })],
      ["a page that is not there", () => SplashPage.file("/nonexistent.html")],
    ],
    "bad-address": [
      ["of who collects logs", tier({ logCollector: { address: "logs.example.net", port: 514 } })],
    ],
    "bad-text": [["a line", tier({ extraLines: ["a\nb"] })]],
    "number-out-of-range": [
      ["a weight", tier(pool({ settings: { "app-1": { weight: 0 } } }))],
      ["a part of a second to connect", tier(pool({ connectTimeout: 0.5 }))],
      ["no worker", tier({ cache: { workers: 0 } })],
      ["metrics all the time", tier({ metrics: { interval: 0 } })],
      ["no patience", tier({ giveUpAfter: 0 })],
    ],
    "conflicting-setting": [
      ["a page to warm of another site", tier({ cache: { warm: ["http://www.example.net/"] } })],
      ["a page to warm on no port of the tier", tier({ cache: { warm: ["https://www.movember.com/"] } })],
      [
        "a page to warm by HTTPS, and certificates for virtual IPs",
        tier({
          https: { certificates: [certificate("/a", "main")] },
          cache: { warm: ["https://www.movember.com/"] },
        }),
      ],
      [
        "a pool for a host that is no site",
        tier({ origins: { all: { to: apps() }, api: { to: apps(), hosts: ["api.example.net"] } } }),
      ],
      ["aufs with workers", tier({ cache: { workers: 2, disk: { kind: "aufs" } } })],
      ["an address whose certificate is verified", tier(pool({ tls: ServerTls.verified() }))],
      ["a path to check at encrypted origins", tier(pool({ checkPath: "/up", tls: ServerTls.verified() }))],
      ["CARP across regions", tier({ siblings: { protocol: "carp", acrossRegions: true } })],
      [
        "CARP with origins by the visitor's address",
        tier({ ...pool({ selection: "source-address" }), siblings: { protocol: "carp" } }),
      ],
      ["a default site that is not served", tier({ defaultSite: "www.example.net" })],
      ["a weight for who stands by", tier(pool({ settings: { "app-1": { weight: 2, standby: true } } }))],
      ["a least above the most", () => RefreshRule.everything({ minimumMinutes: 9, maximumMinutes: 1 })],
    ],
  };
}

/** What works, but not as well as its author may think. */
export function warnedTiers(): Partial<Record<ProblemCode, (stack: TerraformStack) => unknown>> {
  return {
    "far-siblings": (stack) =>
      newTier(stack, {
        regions: {
          uk: { platform: regionHosts(stack, "uk", 1) },
          us: { platform: regionHosts(stack, "us", 2) },
        },
        siblings: { acrossRegions: true },
      }),
    "no-virtual-ip": (stack) =>
      newTier(stack, { regions: { uk: { platform: regionHosts(stack, "uk", 1) } } }),
    "too-few-nodes": (stack) =>
      newTier(stack, {
        regions: {
          uk: {
            platform: regionHosts(stack, "uk", 1),
            nodes: ["front-uk-1"],
            virtualIp: VirtualIp.layer2("10.1.0.90/24"),
          },
        },
      }),
  };
}
