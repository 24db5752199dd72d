import { App, TerraformStack } from "cdktf";
import type { Construct } from "constructs";
import {
  HaproxyKeepalivedPair,
  HealthCheck,
  Peer,
  Port,
  RolloutOrder,
  Secret,
  ServiceTier,
  SshPlatform,
  Stickiness,
  Tls,
  VirtualIp,
  type Machine,
  type Service,
} from "cdktf-ha-clusters";

const release = "2.4.1";

/** The application: a Java server that keeps sessions in memory and tells its neighbours about them. */
class Application implements Service {
  readonly name = "application";
  private readonly members: string[] = [];

  constructor(private readonly sessionKey: Secret) {}

  /** Neighbours by name: no multicast that might join somebody else's cluster on the same network. */
  joins(machines: readonly Machine[]): void {
    this.members.push(...machines.map(({ privateAddress }) => `${privateAddress}:7800`));
  }

  describe(machine: Machine) {
    return {
      packages: [{ name: "openjdk-17-jre-headless" }],
      users: [{ name: "application", home: "/srv/application" }],
      directories: [{ path: "/srv/application", owner: "application", group: "application", mode: "0750" }],
      files: [
        {
          path: "/etc/application/application.properties",
          group: "application",
          onChange: "restart" as const,
          text: [
            `server.address=${machine.privateAddress}`,
            "server.port=8080",
            `cluster.bind=${machine.privateAddress}:7800`,
            `cluster.members=${this.members.join(",")}`,
            `session.key=${this.sessionKey.placeholder}`,
            "",
          ].join("\n"),
        },
        {
          path: "/etc/systemd/system/application.service",
          onChange: "restart" as const,
          text: [
            "[Service]",
            "User=application",
            `ExecStart=/usr/bin/java -jar /srv/application/application-${release}.jar --config /etc/application/application.properties`,
            "Restart=always",
            "[Install]",
            "WantedBy=multi-user.target",
            "",
          ].join("\n"),
        },
      ],
      units: ["application.service"],
      secrets: [this.sessionKey],
      hooks: { healthy: `curl -sf -o /dev/null http://${machine.privateAddress}:8080/health` },
      healthyWithin: 120, // a JVM takes its time
    };
  }
}

/** Four identical application servers with sticky sessions, changed half of them at a time in maintenance mode. */
class ApplicationTier extends TerraformStack {
  constructor(scope: Construct, id: string) {
    super(scope, id);

    const campus = new SshPlatform(this, "campus", {
      hosts: {
        "lb-1": { address: "10.20.0.11/24", zone: "room-1" },
        "lb-2": { address: "10.20.0.12/24", zone: "room-2" },
        "app-1": { address: "10.20.0.21/24", zone: "room-1" },
        "app-2": { address: "10.20.0.22/24", zone: "room-2" },
        "app-3": { address: "10.20.0.23/24", zone: "room-1" },
        "app-4": { address: "10.20.0.24/24", zone: "room-2" },
      },
      ssh: { user: "admin", privateKeyFile: process.env.SSH_KEY ?? "~/.ssh/id_ed25519" },
      admins: [Peer.cidr("10.20.1.0/24")],
    });

    const application = new Application(Secret.variable(this, "session_key"));
    const tier = new ServiceTier(this, "application", {
      platform: campus,
      nodes: ["app-1", "app-2", "app-3", "app-4"],
      port: 8080,
      services: [application],
      order: RolloutOrder.halves(),
      check: HealthCheck.http("/health"),
    });
    application.joins(tier.machines);
    tier.connections.allowInternally(Port.tcp(7800));

    const lb = new HaproxyKeepalivedPair(this, "lb", {
      platform: campus,
      virtualIp: VirtualIp.layer2("10.20.0.100/24"),
    });
    lb.balance("application", {
      port: 443,
      redirectFromPort: 80,
      tls: Tls.certificate(Secret.file("/etc/ssl/private/application.pem")),
      to: tier,
      stickiness: Stickiness.cookie(),
      drainTimeout: 300, // sessions under way may finish before a server changes
      clients: [Peer.anyone()],
    });
  }
}

const app = new App();
new ApplicationTier(app, "application-tier");
app.synth();
