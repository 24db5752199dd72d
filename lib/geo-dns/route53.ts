import { Route53HealthCheck } from "@cdktf/provider-aws/lib/route53-health-check";
import { Route53Record } from "@cdktf/provider-aws/lib/route53-record";
import type { Construct } from "constructs";
import { isPublic } from "../net";
import { isToken, warn } from "../problem";
import { after, ofSameStack } from "../push/push";
import type { Rollout } from "../push/rollout";
import { latencyRecords, type CheckedSite, type GeoPlan } from "./geo-plan";

export interface Route53Settings {
  readonly zoneId: string;
  readonly ttl: number;
  readonly checkInterval: 10 | 30;
  readonly failureThreshold: number;
  /** AWS region of each region, where latency decides and not the place. */
  readonly latency?: Readonly<Record<string, string>>;
}

/** Records of one name in a hosted zone, each held back while its region does not answer, made when the tier is there. */
export function makeRoute53Records(
  scope: Construct,
  plan: GeoPlan,
  site: CheckedSite,
  settings: Route53Settings,
  tier: Rollout["last"] = [],
): void {
  const checks = new Map(
    plan.regions.map((region) => [region.name, healthOf(scope, region, site, settings)]),
  );
  const unseen = plan.regions.flatMap(({ addresses }) =>
    addresses.filter((address) => !isToken(address) && !isPublic(address)),
  );
  if (unseen.length) {
    warn(scope, {
      code: "no-public-address",
      what: `Route 53 checks ${unseen.join(", ")} from the Internet, and refuses to`,
      allowed: "public addresses of the regions",
      fix: "GeoDnsService.powerDns where visitors and regions are in a network of their own",
    });
  }
  const { latency } = settings;
  const records = latency ? latencyRecords(plan) : plan.records;
  for (const { id, region, type, addresses, place } of records) {
    const record = new Route53Record(scope, `${type.toLowerCase()}-${id}`, {
      zoneId: settings.zoneId,
      name: site.name,
      type,
      ttl: settings.ttl,
      records: [...addresses],
      setIdentifier: id,
      healthCheckId: checks.get(region)!.id,
      ...(latency
        ? { latencyRoutingPolicy: { region: latency[region]! } }
        : {
            geolocationRoutingPolicy:
              place?.kind === "continent" ? { continent: place.code } : { country: place?.code ?? "*" },
          }),
    });
    after(scope, record, () => ofSameStack(scope, tier));
  }
}

/** A region is there while one of its addresses answers: each of them moves to whichever node is alive. */
function healthOf(
  scope: Construct,
  { name, addresses }: GeoPlan["regions"][number],
  site: CheckedSite,
  { checkInterval, failureThreshold }: Route53Settings,
): Route53HealthCheck {
  const checks = addresses.map(
    (address, index) =>
      new Route53HealthCheck(scope, `health-${name}-${index + 1}`, {
        type: site.protocol,
        ipAddress: address,
        // of the Host header, and with TLS of the greeting: the address is the one above
        fqdn: site.name,
        enableSni: site.protocol === "HTTPS" ? true : undefined,
        port: site.port,
        resourcePath: site.path,
        requestInterval: checkInterval,
        failureThreshold,
        tags: { Name: `${site.name} ${name} ${index + 1}` },
      }),
  );
  if (checks.length === 1) return checks[0]!;
  return new Route53HealthCheck(scope, `health-${name}`, {
    type: "CALCULATED",
    childHealthchecks: checks.map(({ id }) => id),
    childHealthThreshold: 1,
    tags: { Name: `${site.name} ${name}` },
  });
}
