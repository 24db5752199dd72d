import { Construct } from "constructs";
import { checkProps } from "../input/guard";
import { isHostName } from "../net";
import { checkCount, refuse, refuseToken } from "../problem";
import type { SquidGeoProxyTier } from "../squid-geo-proxy-tier/squid-geo-proxy-tier";
import type { TopologyTimer } from "../topology/topology";
import { planOf, type GeoPlan } from "./geo-plan";
import { placeOf, type Place } from "./place";
import { makeRoute53Records } from "./route53";

export interface Route53Props {
  /** Of the hosted zone that has the name. */
  readonly zoneId: string;
  /** Seconds for which resolvers keep an answer. @default 60 */
  readonly ttl?: number;
  /** Seconds between checks, from each of Route 53's places; 10 costs more. @default 10 */
  readonly checkInterval?: 10 | 30;
  /** Checks in a row that fail until a region gets no more visitors. @default 3 - one lost packet is no outage */
  readonly failureThreshold?: number;
}

/** Which name servers answer. */
export class GeoDnsService {
  /** Amazon's, with geolocation records and health checks. The addresses must be reachable from the Internet. */
  static route53(props: Route53Props): GeoDnsService {
    const { zoneId, ttl = 60, checkInterval = 10, failureThreshold = 3 } = props;
    refuseToken("GeoDnsService.route53", "checkInterval", checkInterval);
    checkCount("GeoDnsService.route53", "ttl", ttl, 1, 172_800, "seconds");
    checkCount("GeoDnsService.route53", "failureThreshold", failureThreshold, 1, 10, "Route 53's own limits");
    return new GeoDnsService({ zoneId, ttl, checkInterval, failureThreshold });
  }

  private constructor(readonly settings: Required<Route53Props>) {}
}

export interface GeoDnsProps {
  /** What visitors ask for: `www.movember.com`. */
  readonly name: string;
  readonly tier: SquidGeoProxyTier;
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
    checkProps(this, "GeoDnsProps", props);
    this.checkProps();
    const { name, tier, serves, defaultRegion, via, checkPath = "/" } = props;
    this.plan = planOf(
      Object.values(tier.regions).map((region) => ({
        name: region.name,
        addresses: region.addresses,
        places: (serves[region.name] ?? []).map((place) => placeOf(this.node.path, place)),
      })),
      defaultRegion,
    );
    this.refusePlacesTwice();
    const { http, https } = tier.publicPorts;
    makeRoute53Records(
      this,
      this.plan,
      {
        name,
        path: checkPath,
        protocol: http === undefined ? "HTTPS" : "HTTP",
        port: http ?? https!,
      },
      via.settings,
    );
  }

  /** How long visitors still get the address of a region that is gone. */
  get timers(): TopologyTimer[] {
    const { checkInterval, failureThreshold, ttl } = this.props.via.settings;
    return [
      {
        name: "a region that is gone: visitors come to another one",
        seconds: checkInterval * failureThreshold + ttl,
        because: `${failureThreshold} checks, every ${checkInterval} s, and ${ttl} s in resolvers`,
      },
    ];
  }

  private checkProps(): void {
    const { name, tier, serves, defaultRegion, checkPath } = this.props;
    refuseToken(this, "name", name);
    if (!isHostName(name) || !name.includes(".")) {
      refuse(this, {
        code: "bad-name",
        what: `'${name}'`,
        allowed: "a whole host name: www.example.net",
        fix: "without a scheme, a port or a path",
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
    const idle = regions.find((region) => region !== defaultRegion && !serves[region]?.length);
    if (idle !== undefined) {
      refuse(this, {
        code: "unknown-region",
        what: `the region '${idle}' is for nobody`,
        allowed: "a country or a continent for each region but the default one",
        fix: `serves: { ${idle}: ["GB"] }`,
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
