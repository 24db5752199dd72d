import { Construct } from "constructs";
import type { Connections } from "../firewall/connections";
import { checkProps } from "../input/guard";
import { isHostName, isIp, isIpv6 } from "../net";
import { isToken, refuse, refuseToken, warn } from "../problem";
import type { Rollout } from "../push/rollout";
import type { TopologyTimer } from "../topology/topology";
import type { GeoDnsService } from "./geo-dns-service";
import { isCovered } from "../squid-geo-proxy-tier/site";
import { planOf, type GeoPlan } from "./geo-plan";
import { placeOf, type Place } from "./place";

/** Where visitors are sent to: proxies in several regions, or anything else that answers there. */
export interface RegionalTier {
  readonly regions: Readonly<Record<string, TierRegion>>;
  /** Of plain HTTP, of HTTPS, or of both. */
  readonly publicPorts: { readonly http?: number; readonly https?: number };
  /** Host names that are served, and no others; with a leading dot, all below it. @default - any */
  readonly sites?: readonly string[];
  /** What has to be there before visitors are sent there: a new region's proxies. Of the same stack. @default - nothing */
  readonly ready?: Rollout["last"];
}

export interface TierRegion {
  /** As in {@link RegionalTier.regions}, whose names count. @default - that name */
  readonly name?: string;
  /** What visitors of the region connect to. */
  readonly addresses: readonly string[];
  /** Who may connect there: own name servers are let in, since they ask the regions whether they answer. @default - anyone */
  readonly connections?: Connections;
}

export interface GeoDnsProps {
  /** What visitors ask for: `www.movember.com`. */
  readonly name: string;
  /** {@link SquidGeoProxyTier}, or addresses of your own. */
  readonly tier: RegionalTier;
  /** Which visitors each region of the tier is for. A country goes before its continent. */
  readonly serves: Readonly<Record<string, readonly Place[]>>;
  /** Region for everybody else, and for those whose own region does not answer. */
  readonly defaultRegion: string;
  readonly via: GeoDnsService;
  /** Path that checks ask for. @default "/" */
  readonly checkPath?: string;
}

/** Sends each visitor to the nearest region of a tier by the answer of the name servers. */
export class GeoDns extends Construct {
  readonly plan: GeoPlan;

  constructor(
    scope: Construct,
    id: string,
    private readonly props: GeoDnsProps,
  ) {
    super(scope, id);
    checkProps(this, "GeoDnsProps", props, {
      defaultRegion: {
        code: "no-default-region",
        allowed: "a region of the tier, by its name",
        fix: "name the region that is for the rest of the world",
      },
    });
    this.checkNames();
    const { name, tier, serves, defaultRegion, via, checkPath = "/" } = props;
    this.plan = planOf(
      Object.entries(tier.regions).map(([region, { addresses }]) => ({
        name: region,
        addresses,
        places: (serves[region] ?? []).map((place) => placeOf(this.node.path, place)),
      })),
      defaultRegion,
    );
    this.refusePlacesTwice();
    this.warnOfFamilies();
    const { http, https } = tier.publicPorts;
    via.publish(this, {
      plan: this.plan,
      tier,
      site: {
        name,
        path: checkPath,
        protocol: http === undefined ? "HTTPS" : "HTTP",
        port: http ?? https!,
      },
    });
  }

  /** How long visitors still get the address of a region that is gone. */
  get timers(): TopologyTimer[] {
    const { timing } = this.props.via;
    return [
      {
        name: "a region that is gone: visitors come to another one",
        seconds: timing.checkInterval * timing.failureThreshold + timing.checkTimeout + timing.ttl,
        because: timing.because,
      },
    ];
  }

  private checkNames(): void {
    const { name, tier, serves, defaultRegion, checkPath, via } = this.props;
    refuseToken(this, "name", name);
    if (!isHostName(name) || !name.includes(".")) {
      refuse(this, {
        code: "bad-name",
        what: `'${name}'`,
        allowed: "a whole host name: www.example.net",
        fix: "without a scheme, a port or a path",
      });
    }
    const { sites } = tier;
    if (sites && !sites.some(isToken) && !isCovered(name, sites)) {
      refuse(this, {
        code: "site-not-served",
        what: `the tier does not serve '${name}'`,
        allowed: `its sites, with a dot in front all below them: ${sites.join(", ")}`,
        fix: `add '${name}' to the tier's 'sites'`,
      });
    }
    if (checkPath !== undefined && !/^\/[\x21-\x7e]*$/.test(checkPath)) {
      refuse(this, {
        code: "bad-path",
        what: `'checkPath' is '${checkPath}'`,
        allowed: "a path from / on",
        fix: "percent-encode it",
      });
    }
    const regions = Object.keys(tier.regions);
    const wrong = Object.values(tier.regions)
      .flatMap(({ addresses }) => addresses)
      .find((address) => !isToken(address) && !isIp(address));
    if (wrong !== undefined) {
      refuse(this, {
        code: "bad-address",
        what: `a region has the address '${wrong}'`,
        allowed: "IPv4 and IPv6 addresses",
        fix: "what visitors connect to, without a port",
      });
    }
    const empty = regions.find((region) => !tier.regions[region]!.addresses.length);
    if (empty !== undefined) {
      refuse(this, {
        code: "bad-address",
        what: `the region '${empty}' has no addresses`,
        allowed: "one at least for each region: its visitors would get no answer",
        fix: "name them, or leave the region out",
      });
    }
    if (tier.publicPorts.http === undefined && tier.publicPorts.https === undefined) {
      refuse(this, {
        code: "unknown-port",
        what: "'tier.publicPorts' has neither 'http' nor 'https'",
        allowed: "one of them at least: it is where the regions are asked whether they answer",
        fix: "publicPorts: { https: 443 }",
      });
    }
    if (!regions.includes(defaultRegion)) {
      refuse(this, {
        code: "no-default-region",
        what: `'defaultRegion' is '${defaultRegion}'`,
        allowed: regions.join(", "),
        fix: "name the region that is for the rest of the world",
      });
    }
    const unknown = Object.keys(serves).find((region) => !regions.includes(region));
    if (unknown !== undefined) {
      refuse(this, {
        code: "unknown-region",
        what: `'serves' names the region '${unknown}'`,
        allowed: regions.join(", "),
        fix: "correct the name",
      });
    }
    const idle = regions.find(
      (region) => region !== defaultRegion && !serves[region]?.length && !via.alsoServes(region),
    );
    if (idle !== undefined) {
      refuse(this, {
        code: "unknown-region",
        what: `the region '${idle}' is for nobody`,
        allowed: "a country or a continent for each region but the default one",
        fix: `serves: { ${idle}: ["${freeCountry(idle, serves)}"] }`,
      });
    }
  }

  /** Visitors by a family that their own region does not speak are sent to another one, or nowhere. */
  private warnOfFamilies(): void {
    const { regions } = this.plan;
    if (regions.some(({ addresses }) => addresses.some(isToken))) return;
    for (const [family, isOf] of [
      ["IPv4", (address: string) => !isIpv6(address)],
      ["IPv6", isIpv6],
    ] as const) {
      const without = regions.filter(({ addresses }) => !addresses.some(isOf)).map(({ name }) => name);
      if (!without.length || without.length === regions.length) continue;
      warn(this, {
        code: "uneven-families",
        what: `no ${family} address in ${without.join(", ")}`,
        allowed: `${family} addresses in every region, or in none`,
        fix: "give each region addresses of the same families",
      });
    }
  }

  private refusePlacesTwice(): void {
    const owners = new Map<string, string>();
    for (const { region, place, type } of this.plan.records) {
      if (!place) continue;
      const key = `${place.kind} ${place.code} ${type}`;
      const owner = owners.get(key);
      if (owner !== undefined) {
        refuse(this, {
          code: "place-twice",
          what: `the ${place.kind} ${place.code} belongs to '${owner}' and to '${region}'`,
          allowed: "one region for a place",
          fix: "take it out of one of them",
        });
      }
      owners.set(key, region);
    }
  }
}

/** For an example: one that no region has yet, and the region's own where it is called after it. */
function freeCountry(region: string, serves: GeoDnsProps["serves"]): string {
  const free = ["GB", "US", "AU", "NZ", "DE", "FR", "JP", "BR"].filter(
    (country) => !Object.values(serves).flat().includes(country),
  );
  return free.find((country) => country.toLowerCase() === region) ?? free[0] ?? "IE";
}
