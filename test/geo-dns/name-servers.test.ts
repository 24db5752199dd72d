import { parse } from "yaml";
import { TerraformStack, Testing, Token } from "cdktf";
import { Construct } from "constructs";
import { GeoDatabase, GeoDnsService, Peer, Port, Secret, ServiceTier, type RegionalTier } from "../../lib";
import { Template } from "../../lib/testing";
import { newTier } from "../squid-geo-proxy-tier/tiers";
import { newRack, newStack } from "../support/stack";
import { newPowerDns } from "./servers";

const ZONES = "/etc/powerdns/cdktf-ha-zones.yaml";
interface Domain {
  readonly domain: string;
  readonly records: Record<string, Record<string, unknown>[]>;
  readonly services: Record<string, Record<string, string[]>>;
  readonly custom_mapping: Record<string, string>;
}
const domainsOn = (template: Template, machine = "ns-uk"): Domain[] =>
  (parse(template.file(machine, ZONES)) as { domains: Domain[] }).domains;

test("the zone: countries before continents, a name for each region, the default for everybody else", () => {
  const stack = newStack();
  newPowerDns(stack, {}, { networks: { "10.9.0.0/16": "au" } });
  const [zone] = domainsOn(Template.synth(stack).hasNoErrors());
  expect(zone).toMatchObject({
    domain: "www.movember.com",
    ttl: 30,
    mapping_lookup_formats: ["country-%cc", "continent-%cn"],
    custom_mapping: {
      "country-gb": "uk",
      "country-no": "uk",
      "continent-na": "us",
      "country-au": "au",
    },
    services: {
      "www.movember.com": {
        default: ["%mp._geo.www.movember.com"],
        "10.9.0.0/16": ["au._geo.www.movember.com"],
      },
    },
  });
  const { records } = zone!;
  expect(records["uk._geo.www.movember.com"]).toEqual([{ a: "10.1.0.90" }, { aaaa: "2001:db8:1::90" }]);
  expect(records["unknown._geo.www.movember.com"]).toEqual([{ a: "10.2.0.90" }, { a: "10.2.0.91" }]);
  // only what lies below the name has an address here
  expect(records["ns2.www.movember.com"]).toEqual([{ a: "203.0.113.53" }]);
  expect(records["ns1.movember.com"]).toBeUndefined();
  expect(records["www.movember.com"]!.map((record) => Object.keys(record)[0])).toEqual(["soa", "ns", "ns"]);
});

test("several names on the same name servers: what lies below another one comes first", () => {
  const stack = newStack();
  const { servers } = newPowerDns(stack, { name: "movember.com" });
  newPowerDns(stack, { name: "www.movember.com" }, { servers, ttl: 10 });
  const template = Template.synth(stack).hasNoErrors();
  for (const machine of ["ns-uk", "ns-us"])
    expect(domainsOn(template, machine).map(({ domain }) => domain)).toEqual([
      "www.movember.com",
      "movember.com",
    ]);
  expect(servers.topology()).toMatchObject({
    kind: "NameServers",
    members: [{ name: "ns-uk" }, { name: "ns-us" }],
    needs: [
      { name: "movember.com", members: ["uk", "us", "au"], atLeast: 1 },
      { name: "www.movember.com", atLeast: 1 },
    ],
    survives: { failures: 1, of: "node" },
  });
});

test("UDP and TCP 53 are open to the clients, and to nobody else", () => {
  const stack = newStack();
  const { servers } = newPowerDns(stack, {}, {}, { clients: [Peer.cidr("10.0.0.0/8")] });
  const template = Template.synth(stack);
  for (const port of [Port.udp(53), Port.tcp(53)])
    template.hasPort(servers, port).onlyFrom(Peer.cidr("10.0.0.0/8"));
});

test("name servers may ask regions that are not open to everybody", () => {
  const build = (open: boolean): string => {
    const stack = newStack();
    const web = new ServiceTier(stack, "web", {
      platform: newRack(stack),
      nodes: ["web-1"],
      port: 80,
      services: [],
    });
    if (open) web.connections.allowFromAnyone();
    const tier: RegionalTier = {
      regions: { uk: { name: "uk", addresses: ["10.0.1.70"], connections: web.connections } },
      publicPorts: { http: 80 },
    };
    newPowerDns(stack, { tier, serves: {}, defaultRegion: "uk" });
    return Template.synth(stack).file("web-1", "/etc/cdktf-ha/firewall.nft");
  };
  // from another network they come with their public address
  expect(build(false)).toContain(
    "ip saddr { 10.1.0.53/32, 10.2.0.53/32, 203.0.113.53/32 } tcp dport 80 accept",
  );
  expect(build(true)).not.toContain("10.1.0.53");
});

test("a machine that is there already may have another name than its entry", () => {
  const stack = newStack();
  const platform = newRack(stack);
  newPowerDns(
    stack,
    {},
    {},
    {
      servers: {
        "ns-2": { platform, node: platform.host("lb-1"), hostName: "ns2.www.movember.com" },
        "ns-1": { platform, node: platform.host("lb-2"), hostName: "ns1.www.movember.com" },
      },
    },
  );
  const [zone] = domainsOn(Template.synth(stack).hasNoErrors(), "lb-1");
  expect(zone!.records["ns2.www.movember.com"]).toEqual([{ a: "10.0.1.66" }]);
  expect(zone!.records["ns1.www.movember.com"]).toEqual([{ a: "10.0.1.67" }]);
});

test("a region is called by its key, whatever name it says it has", () => {
  const stack = newStack();
  const tier: RegionalTier = {
    regions: { uk: { name: "britain", addresses: ["10.1.0.90"] } },
    publicPorts: { http: 80 },
  };
  newPowerDns(stack, { tier, serves: { uk: ["GB"] }, defaultRegion: "uk" });
  const [zone] = domainsOn(Template.synth(stack).hasNoErrors());
  expect(zone!.custom_mapping).toEqual({ "country-gb": "uk" });
  expect(zone!.records["unknown._geo.www.movember.com"]).toEqual([{ a: "10.1.0.90" }]);
});

test("settings of one name that are not for another are told how to part", () => {
  const stack = newStack();
  const one: RegionalTier = { regions: { uk: { addresses: ["10.1.0.90"] } }, publicPorts: { http: 80 } };
  expect(() =>
    newPowerDns(stack, { tier: one, serves: {}, defaultRegion: "uk" }, { nextNearest: { us: ["uk"] } }),
  ).toThrow("make a GeoDnsService.powerDns(...) of its own for 'www.movember.com'");
});

test("a resolver on the loopback address of a name server is in its way", () => {
  const stack = newStack();
  const { servers } = newPowerDns(stack);
  servers.machines[0]!.listens(new Construct(stack, "other"), () => [
    { port: Port.udp(53), address: "127.0.0.1" },
  ]);
  expect(Template.synth(stack).errors.join()).toContain("[listener-clash]");
});

test("a token is the path of a database", () => {
  const path = Token.asString({ resolve: () => "/srv/countries.mmdb" });
  expect(GeoDatabase.mmdb(path).setting).toBe(`mmdb:${path}`);
});

test("a key reaches the name servers alone, as a secret, and turns signing on", () => {
  const stack = newStack();
  newPowerDns(stack, {}, { dnssecKey: Secret.file("/root/dnssec.key") });
  const template = Template.synth(stack).hasNoErrors();
  const path = "/etc/powerdns/cdktf-ha-keys/www.movember.com.257.1.1.key";
  expect(template.file("ns-us", path)).toMatch(/^@@HA:secret:\S+@@\n$/);
  expect(template.file("ns-us", "/etc/powerdns/pdns.conf")).toContain("geoip-dnssec-keydir=/etc/powerdns/");
});

test("how long a region that is gone is still answered", () => {
  const stack = newStack();
  const { dns, servers } = newPowerDns(stack);
  expect(dns.timers).toEqual([expect.objectContaining({ seconds: 3 * 5 + 4 + 30 })]);
  expect(GeoDnsService.powerDns({ servers, checkInterval: 1, ttl: 5 }).timing).toMatchObject({
    checkTimeout: 1,
    failureThreshold: 3,
  });
});

test("visitors are sent to proxies that are there: name servers come after the tier", () => {
  const stack = newStack();
  const tier = newTier(stack);
  newPowerDns(stack, { tier, serves: {}, defaultRegion: "uk" });
  const template = Template.synth(stack).hasNoErrors();
  const pushes = Object.entries(template.resources("terraform_data"));
  const first = pushes.find(([name]) => name.includes("ns-uk-powerdns"))![1] as { depends_on: string[] };
  expect(first.depends_on).toContainEqual(expect.stringContaining("front-uk-1-complete"));
});

test("a tier of another stack comes by the order of the stacks", () => {
  const app = Testing.app();
  const [there, here] = [new TerraformStack(app, "there"), new TerraformStack(app, "here")];
  newPowerDns(here, { tier: newTier(there), serves: {}, defaultRegion: "uk" });
  expect(JSON.stringify(Template.synth(here).hasNoErrors().resources("terraform_data"))).not.toContain(
    "front-uk-1",
  );
});

test("everybody who may ask has to reach what is answered", () => {
  const warnings = (address: string, clients: Peer[]): string => {
    const stack = newStack();
    const tier: RegionalTier = { regions: { us: { addresses: [address] } }, publicPorts: { http: 80 } };
    newPowerDns(stack, { tier, serves: {} }, {}, { clients });
    return Template.synth(stack).hasNoErrors().warnings.join("\n");
  };
  expect(warnings("10.2.0.90", [Peer.anyone()])).toContain(
    "'www.movember.com' leads to 10.2.0.90 [no-public",
  );
  expect(warnings("198.51.100.90", [Peer.anyone()])).toBe("");
  expect(warnings("10.2.0.90", [Peer.cidr("10.0.0.0/8")])).toBe("");
  expect(warnings(Token.asString({ resolve: () => "x" }), [Peer.anyone()])).toBe("");
});
