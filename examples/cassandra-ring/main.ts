import { AwsProvider } from "@cdktf/provider-aws/lib/provider";
import { App, TerraformOutput, TerraformStack } from "cdktf";
import type { Construct } from "constructs";
import {
  AwsPlatform,
  CassandraInstallation,
  CassandraRing,
  CassandraVersion,
  Java,
  MachineImage,
  Peer,
  RingTls,
  Secret,
  Snapshots,
  SshPlatform,
} from "cdktf-ha-clusters";
import { readFileSync } from "node:fs";
import { join } from "node:path";

/** The measurement archive's first ring: two machines that exist, and a client that still speaks Thrift. */
class EsmondCluster extends TerraformStack {
  constructor(scope: Construct, id: string) {
    super(scope, id);
    const rack = new SshPlatform(this, "rack", {
      hosts: {
        "cassandra-1": { address: "10.30.0.11/24", zone: "rack-1" },
        "cassandra-2": { address: "10.30.0.12/24", zone: "rack-2" },
      },
      ssh: { user: "admin", privateKeyFile: process.env.SSH_KEY ?? "~/.ssh/id_ed25519" },
      admins: [Peer.cidr("10.30.1.0/24")],
    });
    const ring = new CassandraRing(this, "ring", {
      clusterName: "Esmond Cluster",
      version: CassandraVersion.V3_11,
      installation: CassandraInstallation.apt("3.11.19"),
      java: Java.at("/opt/java-8"), // Debian 12 has none
      thrift: true,
      platform: rack,
      nodes: ["cassandra-1", "cassandra-2"],
      keyspaces: [{ name: "esmond", replicationFactor: 2 }],
      superuser: { password: Secret.variable(this, "ring_password") },
      roles: [
        {
          name: "esmond",
          password: Secret.variable(this, "esmond_password"),
          grants: { esmond: ["ALL PERMISSIONS"] },
        },
      ],
      clients: [Peer.cidr("10.30.0.20/31")],
    });
    new TerraformOutput(this, "esmond_conf", { value: ring.esmondSettings() });
  }
}

/** The ring to grow into: three zones, three copies, TLS, snapshots in a bucket. A fourth node is a fourth name. */
class Production extends TerraformStack {
  constructor(scope: Construct, id: string) {
    super(scope, id);
    new AwsProvider(this, "aws", { region: "eu-west-1" });
    const aws = new AwsPlatform(this, "platform", {
      vpcId: "vpc-0123456789abcdef0",
      subnets: {
        a: "subnet-0aaaaaaaaaaaaaaa1",
        b: "subnet-0bbbbbbbbbbbbbbb2",
        c: "subnet-0ccccccccccccccc3",
      },
      image: MachineImage.debian12(),
      ssh: { keyName: "operations", privateKeyFile: process.env.SSH_KEY ?? "~/.ssh/id_ed25519" },
      admins: [Peer.cidr("10.0.9.0/24")],
    });
    const ring = new CassandraRing(this, "ring", {
      clusterName: "Measurement Archive",
      platform: aws,
      nodes: {
        "cassandra-1": { zone: "a", instanceType: "r6i.xlarge" },
        "cassandra-2": { zone: "b", instanceType: "r6i.xlarge" },
        "cassandra-3": { zone: "c", instanceType: "r6i.xlarge" },
      },
      dataVolume: { sizeGiB: 500 },
      keyspaces: [{ name: "esmond", replicationFactor: 3 }],
      superuser: { password: Secret.awsSecretsManager("archive/cassandra-admin") },
      roles: [
        {
          name: "esmond",
          password: Secret.awsSecretsManager("archive/cassandra-esmond"),
          grants: { esmond: ["SELECT", "MODIFY"] },
        },
      ],
      tls: RingTls.authority(Secret.awsSecretsManager("archive/cassandra-authority"), {
        trusted: [readFileSync(join(__dirname, "authority.pem"), "utf8")],
      }),
      snapshots: Snapshots.s3("s3://archive-snapshots/cassandra"),
      clients: [Peer.cidr("10.0.4.0/24")],
    });
    new TerraformOutput(this, "contact_points", { value: ring.contactPoints });
  }
}

const app = new App();
new EsmondCluster(app, "esmond-cluster");
new Production(app, "production");
app.synth();
