import { AwsProvider } from "@cdktf/provider-aws/lib/provider";
import { App, TerraformOutput, TerraformStack } from "cdktf";
import type { Construct } from "constructs";
import {
  AwsPlatform,
  Backups,
  EtcdCluster,
  HaproxyKeepalivedPair,
  MachineImage,
  Peer,
  PostgresReplicaSet,
  Secret,
  SshPlatform,
  VirtualIp,
  Workload,
} from "cdktf-ha-clusters";

const SSH_KEY = process.env.SSH_KEY ?? "~/.ssh/id_ed25519";

/** The measurement archive's metadata on three machines that exist, behind two load balancers with one address. */
class EsmondMetadata extends TerraformStack {
  constructor(scope: Construct, id: string) {
    super(scope, id);
    const rack = new SshPlatform(this, "rack", {
      hosts: {
        "pg-1": { address: "10.30.0.31/24", zone: "rack-1" },
        "pg-2": { address: "10.30.0.32/24", zone: "rack-2" },
        "pg-3": { address: "10.30.0.33/24", zone: "rack-3" },
        "lb-1": { address: "10.30.0.66/24", zone: "rack-1" },
        "lb-2": { address: "10.30.0.67/24", zone: "rack-2" },
      },
      ssh: { user: "admin", privateKeyFile: SSH_KEY },
      admins: [Peer.cidr("10.30.1.0/24")],
    });
    const metadata = new PostgresReplicaSet(this, "metadata", {
      platform: rack,
      members: ["pg-1", "pg-2", "pg-3"],
      memberPassword: Secret.variable(this, "member_password"),
      databases: [{ name: "esmond", owner: "esmond" }],
      roles: [{ name: "esmond", password: Secret.variable(this, "esmond_password") }],
      workload: Workload.manySmallUpdates(),
    });
    const lb = new HaproxyKeepalivedPair(this, "lb", {
      platform: rack,
      virtualIp: VirtualIp.layer2("10.30.0.90/24"),
    });
    const servers = [Peer.cidr("10.30.0.20/31")];
    lb.balance("metadata", { port: 5432, to: metadata.primary, checkInterval: 1, clients: servers });
    lb.balance("metadata-reads", { port: 5433, to: metadata.replicas, checkInterval: 1, clients: servers });
    new TerraformOutput(this, "esmond_conf", {
      value: "sql_db_host = 10.30.0.90\nsql_db_port = 5432\nsql_db_name = esmond\nsql_db_user = esmond\n",
    });
  }
}

/** Two copies of the data in two zones, and a vote in a third one: clients find the primary by themselves. */
class TwoZones extends TerraformStack {
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
      ssh: { keyName: "operations", privateKeyFile: SSH_KEY },
      admins: [Peer.cidr("10.0.9.0/24")],
    });
    const metadata = new PostgresReplicaSet(this, "metadata", {
      platform: aws,
      members: {
        "pg-1": { zone: "a", instanceType: "r6i.large" },
        "pg-2": { zone: "b", instanceType: "r6i.large" },
      },
      dataVolume: { sizeGiB: 200 },
      etcd: new EtcdCluster(this, "etcd", {
        platform: aws,
        nodes: {
          "etcd-1": { zone: "a", instanceType: "t3.small" },
          "etcd-2": { zone: "b", instanceType: "t3.small" },
          "etcd-3": { zone: "c", instanceType: "t3.small" },
        },
      }),
      synchronous: "on",
      backups: Backups.s3("s3://archive-backups/metadata"),
      memberPassword: Secret.awsSecretsManager("archive/postgres-members"),
      databases: [{ name: "esmond", owner: "esmond" }],
      roles: [{ name: "esmond", password: Secret.awsSecretsManager("archive/postgres-esmond") }],
      clients: [Peer.cidr("10.0.4.0/24")],
    });
    new TerraformOutput(this, "primary", { value: metadata.primary.connectionString("esmond", "esmond") });
  }
}

const app = new App();
new EsmondMetadata(app, "esmond-metadata");
new TwoZones(app, "two-zones");
app.synth();
