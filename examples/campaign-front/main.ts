import { join } from "node:path";
import { AwsProvider } from "@cdktf/provider-aws/lib/provider";
import { App, TerraformStack } from "cdktf";
import type { Construct } from "constructs";
import {
  Continent,
  GeoDns,
  GeoDnsService,
  Peer,
  RefreshRule,
  Secret,
  Servers,
  SplashPage,
  SquidGeoProxyTier,
  SshPlatform,
  VirtualIp,
} from "cdktf-ha-clusters";

const operators = Peer.cidr("10.0.0.0/24");

/** Two proxies of one region, in two racks. */
function proxies(scope: Construct, region: string, network: string): SshPlatform {
  return new SshPlatform(scope, region, {
    hosts: {
      [`front-${region}-1`]: { address: `${network}.11/24`, zone: "rack-1" },
      [`front-${region}-2`]: { address: `${network}.12/24`, zone: "rack-2" },
    },
    ssh: { user: "admin", privateKeyFile: process.env.SSH_KEY ?? "~/.ssh/id_ed25519" },
    admins: [operators],
  });
}

/** The front of a campaign that the whole world visits in one month: pairs of caching proxies in three regions. */
class CampaignFront extends TerraformStack {
  constructor(scope: Construct, id: string) {
    super(scope, id);
    new AwsProvider(this, "aws", { region: "eu-west-2" });

    const front = new SquidGeoProxyTier(this, "front", {
      regions: {
        uk: { platform: proxies(this, "uk", "198.51.100"), virtualIp: VirtualIp.layer2("198.51.100.90/24") },
        us: { platform: proxies(this, "us", "192.0.2"), virtualIp: VirtualIp.layer2("192.0.2.90/24") },
        au: { platform: proxies(this, "au", "203.0.113"), virtualIp: VirtualIp.layer2("203.0.113.90/24") },
      },
      sites: [".movember.com", ".movember.com.au", ".movember.co.nz"],
      defaultSite: "www.movember.com",
      https: { certificates: [{ certificate: Secret.file("/etc/ssl/private/movember.pem") }] },
      // over the private network between the regions; as many as the campaign needs, by a change of this list
      origins: Servers.at({ "app-1": "10.0.1.66:80", "app-2": "10.0.1.67:80" }),
      cache: {
        memoryMiB: 2048, // of 4 GiB
        disk: { directory: "/srv/squid", volumeGiB: 90 }, // 80 % of it
        maximumObjectMiB: 32,
        maximumObjectInMemoryKiB: 128, // the largest script of the site has 100, and headers
        refresh: [RefreshRule.queries(), RefreshRule.everything({ percent: 20, maximumMinutes: 4320 })],
      },
      giveUpAfter: 20, // then the splash page
      splashPage: SplashPage.file(join(__dirname, "errors/splash.html")),
      managers: [operators],
      purgers: [operators],
      monitoring: [Peer.cidr("198.51.100.200")],
    });

    new GeoDns(this, "dns", {
      name: "www.movember.com",
      tier: front,
      serves: {
        uk: [Continent.EUROPE, Continent.AFRICA],
        us: [Continent.NORTH_AMERICA, Continent.SOUTH_AMERICA],
        au: ["AU", "NZ"],
      },
      defaultRegion: "uk",
      via: GeoDnsService.route53({ zoneId: "Z0123456789ABCDEFGHIJ" }),
    });
  }
}

const app = new App();
new CampaignFront(app, "campaign-front");
app.synth();
