import { App, TerraformOutput, TerraformStack } from "cdktf";
import type { Construct } from "constructs";
import { DrbdNfsPair, Fencing, Peer, Secret, ServiceTier, SshPlatform, VirtualIp } from "cdktf-ha-clusters";

/** The uploads of two application servers, on a pair that survives either of its nodes and cannot split its brain. */
class Files extends TerraformStack {
  constructor(scope: Construct, id: string) {
    super(scope, id);
    const rack = new SshPlatform(this, "rack", {
      hosts: {
        "nfs-1": { address: "10.40.0.11/24", zone: "rack-1" },
        "nfs-2": { address: "10.40.0.12/24", zone: "rack-2" },
        "vote-1": { address: "10.40.0.13/24", zone: "rack-3" },
        "app-1": { address: "10.40.0.21/24", zone: "rack-1" },
        "app-2": { address: "10.40.0.22/24", zone: "rack-2" },
      },
      ssh: { user: "admin", privateKeyFile: process.env.SSH_KEY ?? "~/.ssh/id_ed25519" },
      admins: [Peer.cidr("10.40.1.0/24")],
    });
    const apps = new ServiceTier(this, "apps", {
      platform: rack,
      nodes: ["app-1", "app-2"],
      port: 8080,
      services: [], // yours
    });
    const password = Secret.variable(this, "board_password");
    const nfs = new DrbdNfsPair(this, "nfs", {
      platform: rack,
      quorum: ["vote-1"],
      // the boards' own network
      fencing: Fencing.ipmi({
        "nfs-1": { address: "10.40.9.11", user: "fence", password },
        "nfs-2": { address: "10.40.9.12", user: "fence", password },
      }),
      // a cable from one node to the other: replication, and the second way to see whether the other one lives
      secondLink: { "nfs-1": "192.168.7.1", "nfs-2": "192.168.7.2" },
      pingHosts: ["10.40.0.1", "10.40.0.13"],
      virtualIp: VirtualIp.layer2("10.40.0.90/24"),
      disk: "/dev/vg0/nfs",
      secret: Secret.variable(this, "pair_secret"),
      exports: [
        { name: "uploads", squash: "all", anonymous: { user: 33, group: 33 } },
        { name: "backups", clients: [Peer.cidr("10.40.0.30")] },
      ],
    });
    nfs.export("uploads").mountOn(apps, "/srv/uploads");
    new TerraformOutput(this, "backups", { value: `${nfs.address}:${nfs.export("backups").path}` });
  }
}

const app = new App();
new Files(app, "files");
app.synth();
