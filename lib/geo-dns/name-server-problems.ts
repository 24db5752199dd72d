import type { Construct } from "constructs";
import { isNetworkAddress, isPublic, parseNetwork } from "../net";
import { isToken, refuse, type Problem } from "../problem";
import { Peer } from "../firewall/peer";
import { DEFAULT_LABEL, type GeoZone } from "./geo-zone";
import type { NameServersProps, ServedName } from "./name-servers";

/** Refuses a name that these servers cannot answer for. */
export function refuseName(
  scope: Construct,
  { site, plan, networks, nextNearest }: ServedName,
  { props }: { readonly props: NameServersProps },
): void {
  if (site.name !== site.name.toLowerCase()) {
    refuse(scope, {
      code: "bad-name",
      what: `'${site.name}'`,
      allowed: "small letters: PowerDNS knows its zones by them",
      fix: `'${site.name.toLowerCase()}'; visitors may write it as they like`,
    });
  }
  const regions = plan.regions.map(({ name }) => name);
  for (const name of regions) {
    if (/^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/.test(name) && name !== DEFAULT_LABEL) continue;
    refuse(scope, {
      code: "bad-name",
      what: `the region '${name}'`,
      allowed: `small letters, digits and dashes, and not '${DEFAULT_LABEL}': it becomes a name in the zone`,
      fix: "call the region otherwise",
    });
  }
  const named = [
    ...Object.keys(nextNearest).map((region) => ["nextNearest", region] as const),
    ...Object.values(nextNearest).flatMap((list) => list.map((region) => ["nextNearest", region] as const)),
    ...Object.values(networks).map((region) => ["networks", region] as const),
  ];
  for (const [prop, region] of named) {
    if (regions.includes(region)) continue;
    refuse(scope, {
      code: "unknown-region",
      what: `'${prop}' names the region '${region}'`,
      allowed: regions.join(", "),
      fix: `correct the name; where it is a region of another name, make a GeoDnsService.powerDns(...) of its own for '${site.name}'`,
    });
  }
  for (const network of Object.keys(networks)) {
    if (parseNetwork(network) && isNetworkAddress(network) && !network.endsWith("/0")) continue;
    refuse(scope, {
      code: "bad-cidr",
      what: `'networks' names '${network}'`,
      allowed: "an IPv4 or IPv6 network with its prefix length, without bits of a host behind it",
      fix: "write it like 203.0.113.0/24; everybody else is of the default region",
    });
  }
  const placed = plan.regions.find(({ places }) => places.length);
  if (placed && !props.database) {
    const [place] = placed.places;
    refuse(scope, {
      code: "no-database",
      what: `'${placed.name}' is for the ${place!.kind} ${place!.code}, and the name servers know no countries`,
      allowed: "places with a database; without one, networks",
      fix: 'database: GeoDatabase.mmdb("/var/lib/GeoIP/GeoLite2-Country.mmdb")',
    });
  }
}

/** Resolvers of the Internet that are led to a private address find nobody there. */
export function problemsOfGlue(zones: readonly GeoZone[], { servers, clients }: NameServersProps): Problem[] {
  if (!isForEverybody(clients)) return [];
  const isInside = (hostName: string): boolean =>
    zones.some(({ site }) => hostName.endsWith(`.${site.name}`));
  return Object.values(servers)
    .filter(({ hostName, publicAddress }) => publicAddress === undefined && isInside(hostName))
    .map(({ hostName }) => ({
      code: "no-public-address",
      what: `everybody may ask, and '${hostName}' leads to the private address`,
      allowed:
        "an address that resolvers of the Internet reach: the host name is below a name that is served here",
      fix: "publicAddress, or clients without Peer.anyone()",
    }));
}

/** The same of visitors who are answered with one. */
export function problemsOfAnswers(
  zones: readonly GeoZone[],
  { clients }: Pick<NameServersProps, "clients">,
): Problem[] {
  if (!isForEverybody(clients)) return [];
  return zones.flatMap(({ site, plan }): Problem[] => {
    const unseen = plan.regions
      .flatMap(({ addresses }) => addresses)
      .filter((address) => !isToken(address) && !isPublic(address));
    if (!unseen.length) return [];
    return [
      {
        code: "no-public-address",
        what: `everybody may ask, and '${site.name}' leads to ${unseen.join(", ")}`,
        allowed: "public addresses of the regions: visitors from the Internet reach no private one",
        fix: "the addresses that visitors connect to, or clients without Peer.anyone()",
      },
    ];
  });
}

function isForEverybody(clients: NameServersProps["clients"]): boolean {
  const [anyone] = Peer.anyone().cidrs;
  return clients.some(({ cidrs }) => cidrs.includes(anyone!));
}

/** What shows only when every name is known. */
export function problemsOfServers(names: readonly ServedName[]): Problem[] {
  if (!names.length) {
    return [
      {
        code: "no-names",
        what: "name servers without a name",
        allowed: "a GeoDns by GeoDnsService.powerDns({ servers }) at least",
        fix: "add one, or leave the name servers out",
      },
    ];
  }
  return names
    .filter(({ dnssecKey }) => dnssecKey !== undefined)
    .flatMap(({ site: signed }) =>
      names
        .filter(({ site }) => site.name !== signed.name && signed.name.startsWith(site.name))
        .map(({ site }): Problem => ({
          code: "key-of-another-name",
          what: `'${signed.name}' is signed, and begins with '${site.name}'`,
          allowed:
            "signed names of which none begins with another name: PowerDNS finds keys by the beginning of their files' names",
          fix: "name servers of its own for one of them",
        })),
    );
}
