import { isIpv6 } from "../net";
import { yamlText } from "../yaml-text";
import type { CheckedSite, GeoPlan } from "./geo-plan";

/** A name as own name servers answer for it. */
export interface GeoZone {
  readonly site: CheckedSite;
  readonly ttl: number;
  readonly plan: GeoPlan;
  /** Regions by network. */
  readonly networks: Readonly<Record<string, string>>;
  readonly nextNearest: Readonly<Record<string, readonly string[]>>;
  /** Seconds, and checks in a row. */
  readonly check: {
    readonly interval: number;
    readonly timeout: number;
    readonly fall: number;
    readonly rise: number;
  };
  readonly nameServers: readonly { readonly hostName: string; readonly address: string }[];
}

/** Region of those whom no place is for: what PowerDNS says of a country that is in no mapping. */
export const DEFAULT_LABEL = "unknown";
/** Below the name, where each region has a name of its own. */
const LABEL = "_geo";
const NS_TTL = 3600;

/**
 * The zones with every region in it, for the geoip backend; the serial and what does not answer right now is changed on the
 * machine. The country goes before the continent, and both have a prefix: AF, AS, NA and SA are countries too, and NO is a word
 * of YAML. Pure.
 */
export function renderZones(zones: readonly GeoZone[]): string {
  // the backend takes the first zone that a name is part of
  const depth = ({ site }: GeoZone): number => site.name.split(".").length;
  return yamlText({ domains: [...zones].sort((a, b) => depth(b) - depth(a)).map(domainOf) });
}

function domainOf({ site: { name }, ttl, plan, networks, nameServers }: GeoZone): object {
  const [first] = nameServers;
  const regional = (label: string): string => `${label}.${LABEL}.${name}`;
  const addressesOf = (region: string): readonly string[] =>
    plan.regions.find((each) => each.name === region)!.addresses;
  const inside = nameServers.filter(({ hostName }) => hostName.endsWith(`.${name}`));
  return {
    domain: name,
    ttl,
    records: {
      [name]: [
        { soa: { content: `${first!.hostName} hostmaster.${name} 1 3600 600 1209600 ${ttl}`, ttl: NS_TTL } },
        ...nameServers.map(({ hostName }) => ({ ns: { content: hostName, ttl: NS_TTL } })),
      ],
      ...Object.fromEntries(inside.map(({ hostName, address }) => [hostName, records([address])])),
      ...Object.fromEntries(plan.regions.map((region) => [regional(region.name), records(region.addresses)])),
      [regional(DEFAULT_LABEL)]: records(addressesOf(plan.defaultRegion)),
    },
    services: {
      [name]: {
        default: [regional("%mp")],
        ...Object.fromEntries(
          Object.entries(networks).map(([network, region]) => [network, [regional(region)]]),
        ),
      },
    },
    mapping_lookup_formats: ["country-%cc", "continent-%cn"],
    custom_mapping: Object.fromEntries(
      plan.regions.flatMap((region) =>
        region.places.map(({ kind, code }) => [`${kind}-${code.toLowerCase()}`, region.name]),
      ),
    ),
  };
}

function records(addresses: readonly string[]): object[] {
  return addresses.map((address) => (isIpv6(address) ? { aaaa: address } : { a: address }));
}

/** How on-machine/geo-dns.py finds out what answers, and what it does then. Pure. */
export function renderChecks(zones: readonly GeoZone[], databases: readonly string[]): string {
  const checks = {
    databases,
    zones: zones.map(({ site, plan, nextNearest, check }) => ({
      ...site,
      protocol: site.protocol.toLowerCase(),
      ...check,
      default: plan.defaultRegion,
      regions: Object.fromEntries(plan.regions.map(({ name, addresses }) => [name, addresses])),
      next_nearest: nextNearest,
    })),
  };
  return `${JSON.stringify(checks, null, 2)}\n`;
}
