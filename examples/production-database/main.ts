import { readFileSync } from "node:fs";
import { App, TerraformStack } from "cdktf";
import type { Construct } from "constructs";
import {
  Backups,
  HaproxyKeepalivedPair,
  Peer,
  Port,
  PostgresReplicaSet,
  PostgresTls,
  Secret,
  ServiceTier,
  SshPlatform,
  VirtualIp,
  type Service,
} from "cdktf-ha-clusters";

const SSH_KEY = process.env.SSH_KEY ?? "~/.ssh/id_ed25519";
const VIP = "10.40.0.90";
const AUTHORITY = readFileSync(`${__dirname}/authority.pem`, "utf8");

/** Your servers: here a file that says where the database is. */
const tickets: Service = {
  name: "tickets",
  describe: () => ({
    files: [{ path: "/etc/tickets/database", text: `host=${VIP} port=6432 dbname=tickets user=tickets\n` }],
  }),
};

/** Everything that a database in production has: three racks, a pair, poolers, TLS, backups elsewhere, a late copy, metrics, logs. */
class Production extends TerraformStack {
  constructor(scope: Construct, id: string) {
    super(scope, id);
    const rack = new SshPlatform(this, "rack", {
      hosts: {
        "pg-1": { address: "10.40.0.31/24", zone: "rack-1" },
        "pg-2": { address: "10.40.0.32/24", zone: "rack-2" },
        "pg-3": { address: "10.40.0.33/24", zone: "rack-3" },
        "pg-4": { address: "10.40.0.34/24", zone: "rack-3" },
        "lb-1": { address: "10.40.0.66/24", zone: "rack-1" },
        "lb-2": { address: "10.40.0.67/24", zone: "rack-2" },
        "app-1": { address: "10.40.0.21/24", zone: "rack-1" },
        "app-2": { address: "10.40.0.22/24", zone: "rack-2" },
      },
      ssh: { user: "admin", privateKeyFile: SSH_KEY },
      admins: [Peer.cidr("10.40.1.0/24")],
    });
    const app = new ServiceTier(this, "app", {
      platform: rack,
      nodes: ["app-1", "app-2"],
      port: 8000,
      services: [tickets],
    });
    const database = new PostgresReplicaSet(this, "tickets", {
      platform: rack,
      // the last one shows an hour later what somebody deleted
      members: { "pg-1": {}, "pg-2": {}, "pg-3": {}, "pg-4": { applyDelay: "1h" } },
      memberPassword: Secret.variable(this, "member_password"),
      databases: [{ name: "tickets", owner: "tickets", extensions: ["pg_trgm"] }],
      roles: [
        { name: "tickets", password: Secret.variable(this, "tickets_password") },
        {
          name: "reports",
          password: Secret.variable(this, "reports_password"),
          grants: { tickets: "read" },
        },
      ],
      parameters: { max_connections: 200, log_min_duration_statement: "500ms" },
      pooler: {},
      tls: PostgresTls.authority(Secret.variable(this, "authority"), {
        trusted: [AUTHORITY],
        names: [VIP, "tickets-db.example.net"],
        memberAuthentication: "certificate",
      }),
      backups: Backups.ssh("backup.example.net", "/srv/postgres/tickets", {
        privateKey: Secret.variable(this, "backup_key"),
        hostKey: "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFdLZTjhBv8yVc3RZfOKbzI9cUPqRzXv4gGwVdVqJq4X",
        encryption: Secret.variable(this, "backup_passphrase"),
        retainFull: 4,
      }),
      metrics: { clients: [Peer.cidr("10.40.2.10")] },
      logCollector: { address: "logs.example.net", trusted: [AUTHORITY] },
      hugePages: true,
    });
    const lb = new HaproxyKeepalivedPair(this, "lb", {
      platform: rack,
      virtualIp: VirtualIp.layer2(`${VIP}/24`),
      maximumConnections: 4000,
    });
    const checkInterval = 1;
    const reports = [Peer.cidr("10.40.2.0/24")];
    // transactions by way of the poolers, what a session keeps by 5432, reports from the replicas
    lb.balance("tickets", { port: 6432, to: database.pooled, checkInterval });
    lb.balance("sessions", { port: 5432, to: database.primary, checkInterval });
    for (const port of [6432, 5432]) lb.connections.allowFrom(app, Port.tcp(port));
    lb.balance("reports", { port: 5433, to: database.replicas, checkInterval, clients: reports });
  }
}

const app = new App();
new Production(app, "production");
app.synth();
