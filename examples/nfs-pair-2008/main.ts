import { App, TerraformStack } from "cdktf";
import type { Construct } from "constructs";
import { DrbdNfsPair, Manager, Peer, Secret, ServiceTier, SshPlatform, VirtualIp } from "cdktf-ha-clusters";

/** The file servers of a campaign in 2008, as they were: two virtual machines, one network between them, nobody to ask. */
class CampaignFiles extends TerraformStack {
  constructor(scope: Construct, id: string) {
    super(scope, id);
    const site = new SshPlatform(this, "site", {
      hosts: {
        "movember-dvmh-nfs-01": { address: "10.0.1.91/27", zone: "host-1" },
        "movember-dvmh-nfs-02": { address: "10.0.1.92/27", zone: "host-2" },
        "app-1": { address: "10.0.1.66/27", zone: "host-1" },
        "app-2": { address: "10.0.1.67/27", zone: "host-2" },
      },
      ssh: { user: "admin", privateKeyFile: process.env.SSH_KEY ?? "~/.ssh/id_ed25519" },
      admins: [Peer.cidr("10.0.1.94")],
    });
    const files = new DrbdNfsPair(this, "files", {
      platform: site,
      nodes: ["movember-dvmh-nfs-01", "movember-dvmh-nfs-02"],
      manager: Manager.heartbeat({
        iAcceptSplitBrain: true,
        transport: "bcast",
        keepalive: 1,
        warntime: 3,
        deadtime: 10,
        initdead: 20,
      }),
      virtualIp: VirtualIp.layer2("10.0.1.90/27"),
      disk: "/dev/mapper/ubuntu-SrvNfs",
      secret: Secret.variable(this, "pair_secret"),
      resyncRate: 100,
      exports: [{ name: "assets", squash: "none" }],
    });
    const apps = new ServiceTier(this, "apps", {
      platform: site,
      nodes: ["app-1", "app-2"],
      port: 80,
      services: [],
    });
    files.export("assets").mountOn(apps, "/srv/assets");
  }
}

const app = new App();
new CampaignFiles(app, "campaign-files");
app.synth();
