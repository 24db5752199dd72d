import { join } from "node:path";
import type { TerraformStack } from "cdktf";
import {
  Peer,
  RefreshRule,
  Secret,
  Servers,
  ServerTls,
  ServiceTier,
  SplashPage,
  VirtualIp,
  type SquidGeoProxyTier,
} from "../../lib";
import { Template } from "../../lib/testing";
import { CERTIFICATE } from "../golden/certificate";
import { newAws, newStack } from "../support/stack";
import { apps, newTier, regionHosts } from "./tiers";

const uk = "front-uk-1";

/** A node's files of each kind of tier: every setting in one of the cases at least. */
export function tierCases(): { name: string; files: Record<string, string> }[] {
  return [
    tierCase("squid-smallest", uk, (stack) => newTier(stack)),
    tierCase("squid-one-node", uk, (stack) =>
      newTier(stack, {
        regions: { uk: { platform: regionHosts(stack, "uk", 1), nodes: [uk] } },
        cache: {
          disk: false,
          memoryMiB: 256,
          warm: ["http://www.movember.com/", "http://www.movember.com/logo.png?size=1"],
        },
        metrics: { directory: "/srv/metrics", interval: 30 },
      }),
    ),
    tierCase("squid-everything", uk, (stack) =>
      newTier(stack, {
        regions: {
          uk: {
            platform: regionHosts(stack, "uk", 1),
            nodes: [uk, "front-uk-2", "front-uk-3"],
            virtualIps: {
              blue: { addresses: [VirtualIp.layer2("10.1.0.90/24")], preferredNode: uk },
              green: { addresses: [VirtualIp.layer2("10.1.0.91/24")], preferredNode: "front-uk-2" },
            },
          },
        },
        sites: [".movember.com", "www.movember.com", "movember.co.nz"],
        defaultSite: "www.movember.com",
        https: {
          certificates: [
            { certificate: Secret.file("/etc/ssl/private/a.pem"), virtualIp: "blue" },
            { certificate: Secret.file("/etc/ssl/private/b.pem"), virtualIp: "green" },
          ],
          minimumVersion: "TLSv1.3",
          hstsSeconds: 3600,
        },
        origins: {
          api: {
            to: Servers.at({ "api-1": "10.9.0.80:443", "api-2": "api-2.example.net:443" }),
            hosts: ["api.movember.com"],
            paths: ["/v1", "/v2/"],
            tls: ServerTls.verified({ serverName: "api.internal", authority: CERTIFICATE }),
            selection: "source-address",
          },
          legacy: {
            to: Servers.at({ old: "10.9.0.90:8443" }),
            hosts: [".old.movember.com"],
            tls: ServerTls.verified({ serverName: "old.movember.com" }),
          },
          rest: {
            to: apps(),
            settings: { "app-1": { weight: 3 }, "app-2": { standby: true } },
            connectTimeout: 1,
            connectFailLimit: 3,
          },
        },
        siblings: { protocol: "htcp", keepCopies: false },
        cache: {
          memoryMiB: 2048,
          workers: 2,
          disk: { directory: "/srv/squid", volumeGiB: 90 },
          maximumObjectMiB: 64,
          maximumObjectInMemoryKiB: 256,
          staleIfError: 86_400,
          negativeTtl: 10,
          collapsedForwarding: true,
          refresh: [
            RefreshRule.files(["css", "js", "png"], {
              minimumMinutes: 60,
            }),
            RefreshRule.path("/api/", { percent: 0, maximumMinutes: 0, staleIfErrorMinutes: 5 }),
            RefreshRule.queries(),
            RefreshRule.everything({ percent: 50 }),
          ],
        },
        splashPage: SplashPage.file(join(__dirname, "splash.html")),
        hideHeaders: ["Server"],
        managers: [Peer.cidr("10.0.0.0/24")],
        purgers: [Peer.cidr("10.0.0.5")],
        monitoring: [Peer.cidr("10.0.0.6")],
        logCollector: { address: "10.0.0.7", port: 5140, protocol: "tcp" },
        giveUpAfter: 10,
        openFiles: 8192,
        extraLines: ["client_lifetime 1 day"],
      }),
    ),
    tierCase("squid-carp", uk, (stack) =>
      newTier(stack, {
        regions: {
          uk: {
            platform: regionHosts(stack, "uk", 1),
            nodes: [uk, "front-uk-2", "front-uk-3"],
            virtualIp: VirtualIp.layer2("10.1.0.90/24"),
          },
        },
        https: { certificates: [{ certificate: Secret.file("/etc/ssl/private/a.pem") }] },
        siblings: { protocol: "carp" },
        logCollector: { address: "2001:db8::7", port: 5140 },
        cache: { collapsedForwarding: true },
      }),
    ),
    tierCase("squid-aws", "front-eu-1", (stack) => {
      const platform = newAws(stack);
      const web = new ServiceTier(stack, "web", {
        platform,
        nodes: ["web-1", "web-2"],
        port: 8080,
        services: [],
      });
      return newTier(stack, {
        regions: { eu: { platform, virtualIp: VirtualIp.elastic() } },
        origins: web,
        https: { certificates: [{ certificate: Secret.awsSecretsManager("site/tls") }] },
      });
    }),
  ];
}

function tierCase(
  name: string,
  node: string,
  build: (stack: TerraformStack) => SquidGeoProxyTier,
): { name: string; files: Record<string, string> } {
  const stack = newStack();
  const tier = build(stack);
  const template = Template.synth(stack).hasNoErrors();
  const file = (path: string): string => template.file(node, path);
  return {
    name,
    files: {
      "squid.conf": file("/etc/squid/squid.conf"),
      "store.conf": file("/etc/squid/cdktf-ha-store.conf"),
      "wanted-sizes": file("/etc/squid/cdktf-ha-wanted-sizes"),
      "firewall.nft": file("/etc/cdktf-ha/firewall.nft"),
      ...(tier.props.cache?.warm ? { warm: file("/etc/squid/cdktf-ha-warm") } : {}),
      ...(tier.props.metrics
        ? { "metrics.timer": file("/etc/systemd/system/cdktf-ha-squid-metrics.timer") }
        : {}),
      ...(tier.props.splashPage ? { "splash.html": file("/etc/squid/cdktf-ha-splash.html") } : {}),
      ...(tier.machines.length > 1 ? { "keepalived.conf": file("/etc/keepalived/keepalived.conf") } : {}),
    },
  };
}
