import type { TerraformStack } from "cdktf";
import { Continent, GeoDatabase, Peer, Secret } from "../../lib";
import { Template } from "../../lib/testing";
import { newStack } from "../support/stack";
import { newPowerDns, newServers } from "./servers";

/** A name server's files: every setting in one of the cases at least. */
export function nameServerCases(): { name: string; files: Record<string, string> }[] {
  return [
    nameServerCase("powerdns-smallest", (stack) => newPowerDns(stack)),
    nameServerCase("powerdns-everything", (stack) => {
      const servers = newServers(stack, {
        clients: [Peer.cidr("10.0.0.0/8"), Peer.cidr("2001:db8::/32")],
        database: GeoDatabase.packaged(),
      });
      const via = { servers, dnssecKey: Secret.file("/root/dnssec.key") };
      newPowerDns(stack, { name: "movember.com" }, via);
      newPowerDns(
        stack,
        {
          name: "www.movember.com",
          serves: {
            uk: ["GB", Continent.EUROPE],
            us: [Continent.NORTH_AMERICA],
            au: ["AU", Continent.OCEANIA],
          },
          checkPath: "/alive?deep=1",
        },
        {
          servers,
          ttl: 20,
          checkInterval: 2,
          failureThreshold: 2,
          recoveryThreshold: 4,
          nextNearest: { au: ["us", "uk"] },
          networks: { "10.9.0.0/16": "uk", "2001:db8:9::/48": "au" },
        },
      );
    }),
    nameServerCase("powerdns-networks", (stack) =>
      newPowerDns(
        stack,
        { serves: {}, defaultRegion: "us" },
        { networks: { "10.9.0.0/16": "uk", "10.8.0.0/16": "au" } },
        { database: undefined },
      ),
    ),
  ];
}

function nameServerCase(
  name: string,
  build: (stack: TerraformStack) => unknown,
): { name: string; files: Record<string, string> } {
  const stack = newStack();
  build(stack);
  const template = Template.synth(stack).hasNoErrors();
  const file = (path: string): string => template.file("ns-uk", path);
  return {
    name,
    files: {
      "pdns.conf": file("/etc/powerdns/pdns.conf"),
      "zones.yaml": file("/etc/powerdns/cdktf-ha-zones.yaml"),
      "checks.json": file("/etc/powerdns/cdktf-ha-checks.json"),
      "firewall.nft": file("/etc/cdktf-ha/firewall.nft"),
    },
  };
}
