import type { TerraformStack } from "cdktf";
import { Construct } from "constructs";
import {
  GeoDatabase,
  GeoDnsService,
  Secret,
  type GeoDnsProps,
  type NameServerProps,
  type NameServersProps,
  type PowerDnsProps,
  type ProblemCode,
} from "../../lib";
import { newRack } from "../support/stack";
import { newPowerDns, newServers, places } from "./servers";

const servers =
  (props: Partial<NameServersProps>) =>
  (stack: TerraformStack): unknown =>
    newServers(stack, props);
const name =
  (props: Partial<GeoDnsProps>, via: Partial<PowerDnsProps> = {}) =>
  (stack: TerraformStack): unknown =>
    newPowerDns(stack, props, via);
const via = (props: Partial<PowerDnsProps>) => name({}, props);
const timing = (props: Partial<PowerDnsProps>) => (stack: TerraformStack) =>
  GeoDnsService.powerDns({ servers: newServers(stack), ...props });
/** One name server in the rack. */
const one =
  (props: Partial<NameServerProps>) =>
  (stack: TerraformStack): unknown =>
    newServers(stack, {
      servers: { "lb-1": { platform: newRack(stack), hostName: "ns1.movember.com", ...props } },
    });
const region = (region: string, addresses = ["10.1.0.90"]): Partial<GeoDnsProps> => ({
  tier: { regions: { [region]: { name: region, addresses } }, publicPorts: { http: 80 } },
  serves: {},
  defaultRegion: region,
});

/** Name servers whose author is wrong, by the code they are refused with: test/bad-input.test.ts tries them all. */
export function refusedServers(): Partial<
  Record<ProblemCode, [string, (stack: TerraformStack) => unknown][]>
> {
  return {
    "no-nodes": [["no name server", servers({ servers: {} })]],
    "bad-name": [
      ["a name server without a domain", one({ hostName: "ns1" })],
      ["a name server in capitals", one({ hostName: "NS1.movember.com" })],
      ["a name in capitals", name({ name: "WWW.movember.com" })],
      ["a region that is no name of DNS", name(region("au_1"))],
      ["a region with PowerDNS's own name", name(region("unknown"))],
    ],
    "bad-address": [
      ["of a name server", one({ publicAddress: "ns1" })],
      ["of a region", name(region("uk", ["10.1.0.90:80"]))],
      ["a region without addresses", name(region("uk", []))],
    ],
    "duplicate-name": [
      [
        "of two name servers",
        (stack) => {
          const platform = newRack(stack);
          const hostName = "ns1.movember.com";
          newServers(stack, { servers: { "lb-1": { platform, hostName }, "lb-2": { platform, hostName } } });
        },
      ],
      [
        "a name twice on the same name servers",
        (stack) => {
          const { servers: both } = newPowerDns(stack);
          newPowerDns(new Construct(stack, "again"), {}, { servers: both, ttl: 10 });
        },
      ],
    ],
    "unknown-region": [
      ["next nearest of one that is none", via({ nextNearest: { nz: ["au"] } })],
      ["a next nearest that is none", via({ nextNearest: { au: ["nz"] } })],
      ["of a network", via({ networks: { "10.9.0.0/16": "nz" } })],
    ],
    "unknown-port": [["a tier without ports", name({ tier: { regions: places.regions, publicPorts: {} } })]],
    "wrong-kind": [["a key that is random characters", timing({ dnssecKey: Secret.generated("dnssec") })]],
    "bad-cidr": [
      ["a network that is none", via({ networks: { "10.9.0.0": "uk" } })],
      ["a network with bits of a host", via({ networks: { "10.9.0.1/16": "uk" } })],
      ["a region before its network", via({ networks: { uk: "10.9.0.0/16" } })],
      ["everybody", via({ networks: { "0.0.0.0/0": "uk" } })],
    ],
    "no-database": [
      ["countries without one", (stack) => newPowerDns(stack, {}, {}, { database: undefined })],
    ],
    "no-names": [["name servers for nothing", servers({})]],
    "key-of-another-name": [
      [
        "a signed name that begins like another one",
        (stack) => {
          const { servers: both } = newPowerDns(stack);
          const dnssecKey = Secret.file("/root/dnssec.key");
          newPowerDns(stack, { name: "www.movember.com.au", tier: places }, { servers: both, dnssecKey });
        },
      ],
    ],
    "bad-path": [
      ["of a database", () => GeoDatabase.mmdb("GeoLite2-Country.mmdb")],
      ["of a database of another kind", () => GeoDatabase.mmdb("/usr/share/GeoIP/GeoIP.dat")],
    ],
    "number-out-of-range": [
      ["an interval of the checks", timing({ checkInterval: 0 })],
      ["a threshold", timing({ failureThreshold: 11 })],
      ["a TTL of own name servers", timing({ ttl: 0.5 })],
    ],
  };
}

export function warnedServers(): Partial<Record<ProblemCode, (stack: TerraformStack) => unknown>> {
  return {
    "lone-name-server": one({}),
    "no-public-address": (stack) => {
      const both = newServers(stack, {
        servers: { "lb-1": { platform: newRack(stack), hostName: "ns1.www.movember.com" } },
      });
      newPowerDns(stack, {}, { servers: both });
    },
    "uneven-families": (stack) => newPowerDns(stack),
  };
}
