import {
  Continent,
  GeoDatabase,
  GeoDns,
  GeoDnsService,
  NameServers,
  Peer,
  Secret,
  ServiceTier,
  type PowerDnsProps,
  type RegionalTier,
} from "cdktf-ha-clusters";
import type { TerraformStack } from "cdktf";
import type { Lab } from "../../../machines/lab";
import { ADDRESSES, OPERATOR, rackOf, siteService } from "./site";

export const NAME = "www.movember.com";
/** Where test/geo-dns/database/countries.mmdb is on the name servers. */
export const DATABASE = "/var/lib/GeoIP/countries.mmdb";
/** Regions, each with a web server in the place of its proxies. */
export const REGIONS = { uk: "web-1", us: "web-2", au: "web-3" } as const;
export type Region = keyof typeof REGIONS;
export const addressOf = (region: Region): string => ADDRESSES[REGIONS[region]];

export interface GeoSiteProps {
  /** @default all three */
  readonly regions?: readonly Region[];
  readonly dns?: Partial<PowerDnsProps>;
  readonly address?: (region: Region) => string;
  /** A secret on the machines. @default - not signed */
  readonly keyFile?: string;
}

/** Two name servers for web servers in three regions. */
export function geoSite(lab: Lab, props: GeoSiteProps = {}): (stack: TerraformStack) => void {
  const { regions = ["uk", "us", "au"], dns = {}, address = addressOf, keyFile } = props;
  return (stack) => {
    const rack = rackOf(stack, lab);
    const web = new ServiceTier(stack, "web", {
      platform: rack,
      nodes: Object.values(REGIONS),
      port: 80,
      services: [siteService()],
    });
    const servers = new NameServers(stack, "ns", {
      servers: {
        "lb-1": { platform: rack, hostName: "ns1.movember.com" },
        "lb-2": { platform: rack, hostName: `ns2.${NAME}` },
      },
      clients: [Peer.cidr(OPERATOR), Peer.cidr(ADDRESSES.client)],
      database: GeoDatabase.mmdb(DATABASE),
    });
    const tier: RegionalTier = {
      regions: Object.fromEntries(
        regions.map((name) => [name, { name, addresses: [address(name)], connections: web.connections }]),
      ),
      publicPorts: { http: 80 },
    };
    new GeoDns(stack, "dns", {
      name: NAME,
      tier,
      serves: {
        ...(regions.includes("uk") ? { uk: ["GB"] } : {}),
        ...(regions.includes("au") ? { au: ["AU", Continent.EUROPE] } : {}),
        ...(regions.includes("us") ? { us: [Continent.NORTH_AMERICA] } : {}),
      },
      defaultRegion: "us",
      via: GeoDnsService.powerDns({
        servers,
        ttl: 5,
        checkInterval: 1,
        failureThreshold: 3,
        networks: regions.includes("uk") ? { "198.18.7.0/24": "uk" } : {},
        ...(keyFile === undefined ? {} : { dnssecKey: Secret.file(keyFile) }),
        ...dns,
      }),
    });
  };
}
