import {
  Continent,
  GeoDatabase,
  GeoDns,
  GeoDnsService,
  NameServers,
  Peer,
  ServiceTier,
  SquidGeoProxyTier,
  SshPlatform,
  VirtualIp,
  type SquidGeoProxyTierProps,
} from "cdktf-ha-clusters";
import { Resolver } from "node:dns/promises";
import type { TerraformStack } from "cdktf";
import { Lab } from "../../../machines/lab";
import { ask, type Answer, type Question } from "./ask";
import { DATABASE } from "./geo-site";
import { originService } from "./squid-site";

/** A front in three regions, each a subnet of its own, with name servers in two of them and the origins in a fourth one. */
export const REGIONS = { uk: "10.77.0", us: "10.78.0", au: "10.79.0" } as const;
export type Region = keyof typeof REGIONS;
const PLACES = { ...REGIONS, apps: "10.80.0" };
export type Place = keyof typeof PLACES;
export const NAME = "www.movember.com";
export const DNS = { ttl: 3, checkInterval: 1, failureThreshold: 3 };

const HOSTS: Record<Place, Record<string, number>> = {
  uk: { "front-uk-1": 11, "front-uk-2": 12, "ns-uk": 53 },
  us: { "front-us-1": 11, "front-us-2": 12, "ns-us": 53 },
  au: { "front-au-1": 11, "front-au-2": 12 },
  apps: { "app-1": 11, "app-2": 12, "app-3": 13 },
};
export const proxiesOf = (region: Region): string[] => [`front-${region}-1`, `front-${region}-2`];
export const addressOf = (region: Region): string => `${REGIONS[region]}.90`;
/** The lab's router has the first address of each subnet: somebody there who only visits. */
const visitorIn = (place: Place): string => `${PLACES[place]}.1`;
const NAME_SERVERS = { "ns-uk": `${PLACES.uk}.53`, "ns-us": `${PLACES.us}.53` };

export function startFront(): Promise<Lab> {
  const machines = Object.entries(HOSTS).flatMap(([place, hosts]) =>
    Object.entries(hosts).map(([name, last]): [string, { address: string }] => [
      name,
      { address: `${PLACES[place as Place]}.${last}/24` },
    ]),
  );
  return Lab.start(Object.fromEntries(machines), { flavour: "tests" });
}

export interface FrontSiteProps {
  /** Regions with proxies. */
  readonly regions: readonly Region[];
  /** Regions that visitors are sent to. @default - all that have proxies */
  readonly visited?: readonly Region[];
  readonly tier?: Partial<SquidGeoProxyTierProps>;
}

/** As a user would write it: one stack. */
export function frontSite(lab: Lab, props: FrontSiteProps): (stack: TerraformStack) => void {
  const { regions, visited = regions } = props;
  return (stack) => {
    // a platform stays in the code until its last machine has left
    const site = (place: Place): SshPlatform =>
      new SshPlatform(stack, `site-${place}`, {
        hosts: Object.fromEntries(
          Object.entries(HOSTS[place]).map(([name, last], index) => [
            name,
            { address: `${PLACES[place]}.${last}/24`, zone: `rack-${index + 1}` },
          ]),
        ),
        ssh: { user: "admin", privateKeyFile: lab.privateKeyFile, timeoutSeconds: 20 },
        admins: [Peer.cidr(visitorIn(place))],
      });
    const [uk, us, au, home] = [site("uk"), site("us"), site("au"), site("apps")];
    const platforms = { uk, us, au };
    const apps = new ServiceTier(stack, "apps", {
      platform: home,
      nodes: Object.keys(HOSTS.apps),
      port: 8080,
      services: [originService],
    });
    const front = new SquidGeoProxyTier(stack, "front", {
      regions: Object.fromEntries(
        regions.map((name) => [
          name,
          { platform: platforms[name], virtualIp: VirtualIp.layer2(`${addressOf(name)}/24`) },
        ]),
      ),
      sites: [".movember.com"],
      origins: apps,
      cache: { memoryMiB: 32, disk: false },
      openFiles: 4096,
      ...props.tier,
    });
    const servers = new NameServers(stack, "ns", {
      servers: {
        "ns-uk": { platform: uk, hostName: "ns1.movember.com" },
        "ns-us": { platform: us, hostName: "ns2.movember.com" },
      },
      clients: [Peer.anyone()],
      database: GeoDatabase.mmdb(DATABASE),
    });
    const of = <Value>(all: Readonly<Record<Region, Value>>): Record<string, Value> =>
      Object.fromEntries(visited.map((name) => [name, all[name]]));
    new GeoDns(stack, "dns", {
      name: NAME,
      tier: {
        regions: Object.fromEntries(visited.map((name) => [name, front.regions[name]!])),
        publicPorts: front.publicPorts,
        ready: front.ready,
      },
      serves: of({ uk: ["GB", Continent.EUROPE], us: [Continent.NORTH_AMERICA], au: ["AU"] }),
      defaultRegion: "us",
      via: GeoDnsService.powerDns({
        servers,
        ...DNS,
        networks: Object.fromEntries(visited.map((name) => [`${REGIONS[name]}.0/24`, name])),
      }),
    });
  };
}

/** Somebody in one place, known by the own address, who keeps what DNS says as long as it says, and then asks for pages. */
export class Visitor {
  private readonly resolver = new Resolver({ timeout: 1000, tries: 3 });
  private known?: { address: string; until: number };
  private asking?: Promise<string>;

  constructor(readonly place: Place) {
    this.resolver.setServers(Object.values(NAME_SERVERS));
    this.resolver.setLocalAddress(visitorIn(place));
  }

  /** Several requests at once wait for one answer. */
  async address(): Promise<string> {
    if (this.known && performance.now() < this.known.until) return this.known.address;
    this.asking ??= this.resolve().finally(() => (this.asking = undefined));
    return this.asking;
  }

  /** Which region visitors of this place are sent to right now. */
  async region(): Promise<string> {
    const address = await this.address();
    const found = (Object.keys(REGIONS) as Region[]).find((region) => addressOf(region) === address);
    return found ?? address;
  }

  async get(path: string, more: Pick<Question, "method" | "signal"> = {}): Promise<Answer> {
    return ask({ path, name: NAME, address: await this.address(), from: visitorIn(this.place), ...more });
  }

  private async resolve(): Promise<string> {
    const [first] = await this.resolver.resolve4(NAME, { ttl: true });
    this.known = { address: first!.address, until: performance.now() + first!.ttl * 1000 };
    return first!.address;
  }
}
