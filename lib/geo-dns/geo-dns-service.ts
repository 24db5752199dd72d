import type { Construct } from "constructs";
import { clientNetworks } from "../firewall/connections";
import { Peer } from "../firewall/peer";
import { Port } from "../firewall/port";
import { parseNetwork } from "../net";
import { checkCount, isToken, refuse, refuseToken } from "../problem";
import type { Secret } from "../secret/secret";
import type { RegionalTier } from "./geo-dns";
import type { CheckedSite, GeoPlan } from "./geo-plan";
import type { NameServers } from "./name-servers";
import { makeRoute53Records } from "./route53";

export interface Route53Props {
  /** Of the hosted zone that has the name. */
  readonly zoneId: string;
  /**
   * Visitors get the region that their network reaches soonest, by Amazon's own measurements, and the next soonest while it does not
   * answer. Names the AWS region where each region of the tier is, or the nearest one: `{ uk: "eu-west-2", us: "us-east-1" }`.
   * @default - by place, as `serves` says
   */
  readonly latency?: Readonly<Record<string, string>>;
  /** Seconds for which resolvers keep an answer. @default 60 */
  readonly ttl?: number;
  /** Seconds between checks, from each of Route 53's places; 10 costs more. @default 10 */
  readonly checkInterval?: 10 | 30;
  /** Checks in a row that fail until a region gets no more visitors. @default 3 - one lost packet is no outage */
  readonly failureThreshold?: number;
}

export interface PowerDnsProps {
  /** Machines that answer. The name is delegated to them: NS records with their host names, in the zone above. */
  readonly servers: NameServers;
  /** Seconds for which resolvers keep an answer. @default 30 */
  readonly ttl?: number;
  /** Seconds between checks, by each name server for itself. @default 5 */
  readonly checkInterval?: number;
  /** Checks in a row that fail until an address is answered no more. @default 3 - one lost packet is no outage */
  readonly failureThreshold?: number;
  /** Checks in a row that succeed until it is answered again. @default 2 */
  readonly recoveryThreshold?: number;
  /**
   * Where visitors of a region go while it does not answer: the first of these that does.
   * @default - as with Route 53: to the region of their continent, else to the default one
   */
  readonly nextNearest?: Readonly<Record<string, readonly string[]>>;
  /** Networks whose visitors, or resolvers, belong to a region whatever their country is: `{ "10.1.0.0/16": "uk" }`. @default none */
  readonly networks?: Readonly<Record<string, string>>;
  /**
   * Private key that answers are signed with, in the form of `pdnsutil export-zone-key` (one key for all, ECDSA P-256). Its DS
   * record belongs into the zone above.
   * @default - not signed
   */
  readonly dnssecKey?: Secret;
}

/** What is made known of a name. */
export interface PublishedName {
  readonly plan: GeoPlan;
  readonly site: CheckedSite;
  readonly tier: RegionalTier;
}

export interface GeoTiming {
  readonly ttl: number;
  readonly checkInterval: number;
  readonly failureThreshold: number;
  /** Seconds until a check without an answer has failed; 0 where it counts as part of the interval. */
  readonly checkTimeout: number;
  /** The arithmetic, in words. */
  readonly because: string;
}

/** Which name servers answer. */
export class GeoDnsService {
  /** Amazon's, with geolocation records and health checks. The addresses must be reachable from the Internet. */
  static route53(props: Route53Props): GeoDnsService {
    const { zoneId, latency, ttl = 60, checkInterval = 10, failureThreshold = 3 } = props;
    const path = "GeoDnsService.route53";
    refuseToken(path, "checkInterval", checkInterval);
    if (![10, 30].includes(checkInterval)) {
      refuse(path, {
        code: "number-out-of-range",
        what: `'checkInterval' is ${checkInterval as number}`,
        allowed: "10 or 30: Route 53 has no other",
        fix: "10 finds a dead region sooner",
      });
    }
    checkCount(path, "ttl", ttl, 1, 172_800, "seconds");
    checkCount(path, "failureThreshold", failureThreshold, 1, 10, "Route 53's own limits");
    const settings = { zoneId, ttl, checkInterval, failureThreshold, latency };
    return new GeoDnsService(
      {
        ttl,
        checkInterval,
        failureThreshold,
        checkTimeout: 0,
        because: `${failureThreshold} checks, every ${checkInterval} s, and ${ttl} s in resolvers`,
      },
      (scope, { plan, site, tier }) => {
        if (latency) refuseLatency(scope, plan, latency);
        makeRoute53Records(scope, plan, site, settings, tier.ready);
      },
      () => latency !== undefined, // a region that it leaves out is refused above
    );
  }

  /** Your own, with PowerDNS: each checks the regions for itself and answers by the country of whoever asks. */
  static powerDns(props: PowerDnsProps): GeoDnsService {
    const {
      servers,
      ttl = 30,
      checkInterval = 5,
      failureThreshold = 3,
      recoveryThreshold = 2,
      networks = {},
      nextNearest = {},
    } = props;
    const path = "GeoDnsService.powerDns";
    checkCount(path, "ttl", ttl, 1, 172_800, "seconds");
    checkCount(path, "checkInterval", checkInterval, 1, 300, "seconds");
    checkCount(path, "failureThreshold", failureThreshold, 1, 10, "checks");
    checkCount(path, "recoveryThreshold", recoveryThreshold, 1, 10, "checks");
    const turned = Object.entries(networks).find(([, region]) => parseNetwork(region));
    if (turned) {
      refuse(path, {
        code: "bad-cidr",
        what: `'networks' has '${turned[0]}' for '${turned[1]}'`,
        allowed: "networks, each with its region",
        fix: `the network first: networks: { "${turned[1]}": "${turned[0]}" }`,
      });
    }
    const { dnssecKey } = props;
    if (dnssecKey?.source.kind === "generated") {
      refuse(path, {
        code: "wrong-kind",
        what: `'dnssecKey' is the generated secret '${dnssecKey.name}': random characters`,
        allowed: "a private key as pdnsutil export-zone-key writes it",
        fix: "Secret.variable(...), Secret.file(...) or a secret of AWS's",
      });
    }
    const checkTimeout = Math.min(4, checkInterval);
    const timing: GeoTiming = {
      ttl,
      checkInterval,
      failureThreshold,
      checkTimeout,
      because: `${failureThreshold} checks, every ${checkInterval} s, the last one ${checkTimeout} s long, and ${ttl} s in resolvers`,
    };
    return new GeoDnsService(
      timing,
      (scope, { plan, site, tier }) => {
        const check = {
          interval: checkInterval,
          timeout: checkTimeout,
          fall: failureThreshold,
          rise: recoveryThreshold,
        };
        servers.addName(scope, { site, ttl, plan, networks, nextNearest, check, dnssecKey }, tier.ready);
        const port = Port.tcp(site.port);
        for (const { connections } of Object.values(tier.regions)) {
          const letIn = connections && clientNetworks(connections, port);
          if (!letIn || Peer.anyone().cidrs.some((network) => letIn.includes(network))) continue;
          connections.allowFrom(servers, port);
          // from another network they come with this one
          for (const { publicAddress } of Object.values(servers.props.servers)) {
            if (publicAddress !== undefined) connections.allowFrom(Peer.cidr(publicAddress), port);
          }
        }
      },
      (region) => [...Object.values(networks), ...Object.values(nextNearest).flat()].includes(region),
    );
  }

  private constructor(
    readonly timing: GeoTiming,
    /** Brings the name to the name servers. */
    readonly publish: (scope: Construct, name: PublishedName) => void,
    /** Does the region get visitors though no place is its own? */
    readonly alsoServes: (region: string) => boolean,
  ) {}
}

/** Refuses regions without an AWS region, and places: a name's records are of one policy. */
function refuseLatency(scope: Construct, plan: GeoPlan, latency: Readonly<Record<string, string>>): void {
  const regions = plan.regions.map(({ name }) => name);
  const unknown = Object.keys(latency).find((name) => !regions.includes(name));
  const missing = regions.find((name) => latency[name] === undefined);
  if (unknown !== undefined || missing !== undefined) {
    refuse(scope, {
      code: "unknown-region",
      what: `'latency' ${unknown === undefined ? `leaves '${missing}' out` : `names the region '${unknown}'`}`,
      allowed: `an AWS region for each of ${regions.join(", ")}`,
      fix:
        missing === undefined
          ? "correct the name"
          : `name the AWS region that is nearest to it: latency: { ${missing}: "us-east-1" }`,
    });
  }
  const placed = plan.regions.find(({ places }) => places.length);
  if (placed) {
    refuse(scope, {
      code: "one-routing-policy",
      what: `'${placed.name}' is for places, and visitors are sent where they are answered soonest`,
      allowed: "places, or latency: Route 53 takes records of one policy for a name",
      fix: "serves: {}, or leave 'latency' out",
    });
  }
  for (const [name, region] of Object.entries(latency)) {
    if (isToken(region) || /^[a-z]{2,3}(-[a-z]+)+-\d+$/.test(region)) continue;
    refuse(scope, {
      code: "bad-name",
      what: `'latency' of '${name}' is '${region}'`,
      allowed: "an AWS region: eu-west-2",
      fix: "without a zone's letter",
    });
  }
}
