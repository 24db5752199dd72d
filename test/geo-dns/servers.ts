import { Construct } from "constructs";
import {
  GeoDatabase,
  GeoDnsService,
  NameServers,
  Peer,
  type NameServersProps,
  type PowerDnsProps,
  type RegionalTier,
  GeoDns,
  type GeoDnsProps,
  Continent,
} from "../../lib";
import { newRack } from "../support/stack";

/** Two name servers in two places. */
export function newServers(stack: Construct, props: Partial<NameServersProps> = {}): NameServers {
  const place = (name: string, address: string): ReturnType<typeof newRack> =>
    newRack(new Construct(stack, `place-${name}`), { hosts: { [name]: { address } } });
  return new NameServers(stack, "ns", {
    servers: {
      "ns-uk": { platform: place("ns-uk", "10.1.0.53/24"), hostName: "ns1.movember.com" },
      "ns-us": {
        platform: place("ns-us", "10.2.0.53/24"),
        hostName: "ns2.www.movember.com",
        publicAddress: "203.0.113.53",
      },
    },
    clients: [Peer.anyone()],
    database: GeoDatabase.mmdb("/var/lib/GeoIP/GeoLite2-Country.mmdb"),
    ...props,
  });
}

/** Addresses of one's own, without proxies: the American region has two, the British one speaks IPv6. */
export const places: RegionalTier = {
  regions: {
    uk: { name: "uk", addresses: ["10.1.0.90", "2001:db8:1::90"] },
    us: { name: "us", addresses: ["10.2.0.90", "10.2.0.91"] },
    au: { name: "au", addresses: ["10.3.0.90"] },
  },
  publicPorts: { http: 80, https: 443 },
};

/** A name on own name servers. */
export function newPowerDns(
  stack: Construct,
  props: Partial<GeoDnsProps> = {},
  dns: Partial<PowerDnsProps> = {},
  servers: Partial<NameServersProps> = {},
): { dns: GeoDns; servers: NameServers } {
  const nameServers = dns.servers ?? newServers(stack, servers);
  return {
    servers: nameServers,
    dns: new GeoDns(stack, props.name ?? "dns", {
      name: "www.movember.com",
      tier: places,
      serves: { uk: ["GB", "NO"], us: [Continent.NORTH_AMERICA], au: ["AU"] },
      defaultRegion: "us",
      via: GeoDnsService.powerDns({ servers: nameServers, ...dns }),
      ...props,
    }),
  };
}
