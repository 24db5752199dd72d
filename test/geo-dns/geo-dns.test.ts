import { AwsProvider } from "@cdktf/provider-aws/lib/provider";
import type { TerraformStack } from "cdktf";
import {
  Continent,
  GeoDns,
  GeoDnsService,
  InvalidInput,
  Secret,
  VirtualIp,
  type GeoDnsProps,
} from "../../lib";
import { Template } from "../../lib/testing";
import { newTier, regionHosts } from "../squid-geo-proxy-tier/tiers";
import { newStack } from "../support/stack";
import { byLatency, newDns, threeRegions } from "./names";

type Json = Record<string, unknown>;

/** Resources of a type by the last part of their name. */
function all(stack: TerraformStack, type: string): Record<string, Json> {
  const resources = Template.synth(stack).hasNoErrors().resources(type);
  return Object.fromEntries(
    Object.entries(resources).map(([name, { "//": _, ...resource }]) => [
      name.replace(/^dns_/, "").replace(/_[0-9A-F]{8}$/, ""),
      resource,
    ]),
  );
}

test("Route 53, resource by resource", () => {
  const stack = newStack();
  const dns = newDns(stack);
  expect(all(stack, "aws_route53_health_check")).toEqual({
    "health-uk-1": check("uk", 1, "10.1.0.90"),
    "health-us-1": check("us", 1, "10.2.0.90"),
    "health-us-2": check("us", 2, "10.2.0.91"),
    "health-us": {
      type: "CALCULATED",
      child_health_threshold: 1,
      child_healthchecks: [idOf(stack, "health-us-1"), idOf(stack, "health-us-2")],
      tags: { Name: "www.movember.com us" },
    },
    "health-au-1": check("au", 1, "10.3.0.90"),
  });
  const us = ["10.2.0.90", "10.2.0.91"];
  expect(all(stack, "aws_route53_record")).toEqual({
    "a-uk-country-gb": record(stack, "uk-country-gb", { country: "GB" }, ["10.1.0.90"], "health-uk-1"),
    "a-uk-country-ie": record(stack, "uk-country-ie", { country: "IE" }, ["10.1.0.90"], "health-uk-1"),
    "a-us-continent-na": record(stack, "us-continent-na", { continent: "NA" }, us, "health-us"),
    "a-au-country-au": record(stack, "au-country-au", { country: "AU" }, ["10.3.0.90"], "health-au-1"),
    "a-au-default": record(stack, "au-default", { country: "*" }, ["10.3.0.90"], "health-au-1"),
  });
  expect(dns.timers).toEqual([expect.objectContaining({ seconds: 90 })]);
});

test("IPv6 has records of its own; without plain HTTP the checks speak TLS", () => {
  const stack = newStack();
  new AwsProvider(stack, "provider", { region: "eu-west-1" });
  const addresses = [VirtualIp.layer2("10.1.0.90/24"), VirtualIp.layer2("2001:db8::90/64")];
  const tier = newTier(stack, {
    regions: { uk: { platform: regionHosts(stack, "uk", 1), virtualIps: { main: { addresses } } } },
    httpPort: false,
    https: { certificates: [{ certificate: Secret.file("/a.pem") }] },
  });
  new GeoDns(stack, "dns", { ...base, tier, serves: { uk: [Continent.EUROPE] }, defaultRegion: "uk" });
  const records = all(stack, "aws_route53_record");
  expect(Object.keys(records).sort()).toEqual([
    "a-uk-continent-eu",
    "a-uk-default",
    "aaaa-uk-continent-eu",
    "aaaa-uk-default",
  ]);
  expect(records["aaaa-uk-default"]).toMatchObject({ type: "AAAA", records: ["2001:db8::90"] });
  expect(all(stack, "aws_route53_health_check")["health-uk-2"]).toMatchObject({
    type: "HTTPS",
    enable_sni: true,
    fqdn: "www.movember.com",
    ip_address: "2001:db8::90",
    port: 443,
  });
});

test("a tier serves the domain of a site with a dot, what is below it, and in any letters", () => {
  for (const name of ["movember.com", "a.b.movember.com", "WWW.Movember.com"]) {
    expect(() => newDns(newStack(), { name })).not.toThrow();
  }
  // addresses of one's own say nothing of names
  const { regions, publicPorts } = threeRegions(newStack());
  const tier = { regions, publicPorts };
  expect(() => newDns(newStack(), { name: "www.example.net", tier })).not.toThrow();
});

test("by latency: a record for each region, with its AWS region, and no place", () => {
  const stack = newStack();
  const via = byLatency({ uk: "eu-west-2", us: "us-east-1", au: "ap-southeast-2" });
  const dns = newDns(stack, { serves: {}, via });
  const records = all(stack, "aws_route53_record");
  const expected = (region: string, aws: string, addresses: string[], health: string): Json => {
    const { geolocation_routing_policy: _, ...rest } = record(
      stack,
      `${region}-latency`,
      {},
      addresses,
      health,
    );
    return { ...rest, latency_routing_policy: { region: aws } };
  };
  expect(records).toEqual({
    "a-uk-latency": expected("uk", "eu-west-2", ["10.1.0.90"], "health-uk-1"),
    "a-us-latency": expected("us", "us-east-1", ["10.2.0.90", "10.2.0.91"], "health-us"),
    "a-au-latency": expected("au", "ap-southeast-2", ["10.3.0.90"], "health-au-1"),
  });
  expect(dns.timers).toEqual([expect.objectContaining({ seconds: 90 })]);
});

test("what is told to do mends it", () => {
  const fixOf = (props: Partial<GeoDnsProps>): string => {
    try {
      newDns(newStack(), props);
    } catch (error) {
      if (error instanceof InvalidInput) return error.problem.fix;
    }
    throw new Error("nothing was refused");
  };
  expect(fixOf({ serves: { uk: ["GB"] } })).toBe('serves: { us: ["US"] }');
  expect(fixOf({ serves: { us: ["GB", "US"] } })).toBe('serves: { uk: ["AU"] }');
  expect(fixOf({ serves: {}, via: byLatency({ uk: "eu-west-2", au: "ap-southeast-2" }) })).toContain(
    'latency: { us: "us-east-1" }',
  );
  expect(fixOf({ defaultRegion: undefined })).toBe("name the region that is for the rest of the world");
});

const base: Pick<GeoDnsProps, "name" | "via"> = {
  name: "www.movember.com",
  via: GeoDnsService.route53({ zoneId: "Z123", checkInterval: 30, ttl: 30 }),
};

function check(region: string, number: number, address: string): Json {
  return {
    type: "HTTP",
    ip_address: address,
    fqdn: "www.movember.com",
    port: 80,
    resource_path: "/",
    request_interval: 10,
    failure_threshold: 3,
    tags: { Name: `www.movember.com ${region} ${number}` },
  };
}

function record(
  stack: TerraformStack,
  id: string,
  place: Json,
  addresses: readonly string[],
  health: string,
): Json {
  return {
    zone_id: "Z123",
    name: "www.movember.com",
    type: "A",
    ttl: 60,
    set_identifier: id,
    records: addresses,
    health_check_id: idOf(stack, health),
    geolocation_routing_policy: place,
    // the last step of the last region: no visitor comes to proxies that are not there
    depends_on: [expect.stringContaining("front-au-1-complete")],
  };
}

/** Terraform's reference to a health check. */
function idOf(stack: TerraformStack, name: string): string {
  const names = Object.keys(Template.synth(stack).resources("aws_route53_health_check"));
  const found = names.find(
    (full) => full.startsWith(`dns_${name}_`) && !/^-\d/.test(full.slice(4 + name.length)),
  );
  return `\${aws_route53_health_check.${found}.id}`;
}
