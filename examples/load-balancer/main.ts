import { App, TerraformStack } from "cdktf";
import type { Construct } from "constructs";
import {
  HaproxyKeepalivedPair,
  HealthCheck,
  Peer,
  ServiceTier,
  SshPlatform,
  VirtualIp,
  type Machine,
  type Service,
} from "cdktf-ha-clusters";

/** The servers: nginx with one page that tells which of them answered. Any daemon is described like this. */
const site: Service = {
  name: "site",
  describe: (machine: Machine) => ({
    packages: [{ name: "nginx-light" }],
    files: [
      { path: "/var/www/site/index.html", text: `Hello from ${machine.name}\n`, onChange: "none" },
      {
        path: "/etc/nginx/sites-enabled/site",
        text: "server {\n  listen 80 default_server;\n  root /var/www/site;\n}\n",
      },
    ],
    absent: ["/etc/nginx/sites-enabled/default"],
    units: ["nginx.service"],
    checker: "nginx -t",
    hooks: { check: "nginx -t -q", healthy: "exec 3<>/dev/tcp/127.0.0.1/80" },
  }),
};

/** Two load balancers that share an address, in front of two web servers; on machines that exist already. */
class LoadBalancer extends TerraformStack {
  constructor(scope: Construct, id: string) {
    super(scope, id);

    const rack = new SshPlatform(this, "rack", {
      hosts: {
        "lb-1": { address: "10.77.0.11/24", zone: "rack-1" },
        "lb-2": { address: "10.77.0.12/24", zone: "rack-2" },
        "web-1": { address: "10.77.0.21/24", zone: "rack-1" },
        "web-2": { address: "10.77.0.22/24", zone: "rack-2" },
      },
      ssh: { user: "admin", privateKeyFile: process.env.SSH_KEY ?? "~/.ssh/id_ed25519" },
      admins: [Peer.cidr("10.77.0.1")],
    });

    const web = new ServiceTier(this, "web", {
      platform: rack,
      nodes: ["web-1", "web-2"],
      port: 80,
      services: [site],
    });

    const lb = new HaproxyKeepalivedPair(this, "lb", {
      platform: rack,
      virtualIp: VirtualIp.layer2("10.77.0.100/24"),
      maximumConnections: 4000,
    });
    lb.balance("web", {
      port: 80,
      to: web,
      check: HealthCheck.http("/"),
      clients: [Peer.cidr("10.77.0.0/24")],
    });
  }
}

const app = new App();
new LoadBalancer(app, "load-balancer");
app.synth();
