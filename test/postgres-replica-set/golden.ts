import type { TerraformStack } from "cdktf";
import {
  Backups,
  EtcdCluster,
  EtcdTls,
  HaproxyKeepalivedPair,
  Peer,
  PostgresPackages,
  PostgresTls,
  PostgresVersion,
  Secret,
  Timers,
  VirtualIp,
  Workload,
  type PostgresReplicaSet,
} from "../../lib";
import { Template } from "../../lib/testing";
import { CERTIFICATE } from "../golden/certificate";
import { newStack } from "../support/stack";
import { newSet, setHosts } from "./sets";

/** A member's files: with everything left out, and with everything said. */
export function replicaSetCases(): { name: string; files: Record<string, string> }[] {
  return [
    setCase("postgres-smallest", (stack) => newSet(stack)),
    setCase("postgres-standby", standbySet),
    setCase("postgres-pgdg", (stack) =>
      newSet(stack, {
        packages: PostgresPackages.pgdg(PostgresVersion.V17, { mirror: "http://mirror.example.net/pgdg" }),
        takeOver: { member: "pg-1", cluster: "archive" },
        parameters: { transaction_timeout: "1h" },
      }),
    ),
    setCase("postgres-everything", (stack) => {
      const platform = setHosts(stack);
      const set = newSet(stack, {
        platform,
        name: "archive",
        members: { "pg-1": {}, "pg-2": {}, "pg-3": {}, "pg-4": { replicateFrom: "pg-2", applyDelay: "1h" } },
        etcd: new EtcdCluster(stack, "etcd", {
          platform,
          nodes: ["pg-5", "pg-6", "pg-7"],
          tls: EtcdTls.authority(Secret.variable(stack, "etcd-authority"), { trusted: [CERTIFICATE] }),
        }),
        etcdCertificate: Secret.variable(stack, "etcd-certificate"),
        databases: [
          { name: "esmond", owner: "esmond", extensions: ["pgcrypto", "btree_gist"] },
          { name: "tickets" },
        ],
        roles: [
          { name: "esmond", password: Secret.variable(stack, "esmond-password"), connectionLimit: 50 },
          {
            name: "reports",
            password: Secret.variable(stack, "reports-password"),
            grants: { tickets: "write", esmond: "read" },
          },
        ],
        tls: PostgresTls.authority(Secret.variable(stack, "authority"), {
          trusted: [CERTIFICATE],
          clientCertificates: true,
          memberAuthentication: "certificate",
          names: ["10.0.1.90", "archive.example.net"],
        }),
        virtualIp: VirtualIp.layer2("10.0.1.95/24"),
        vrrp: { advertInterval: 0.5 },
        timers: Timers.normal(),
        synchronous: "strict",
        failsafe: false,
        watchdog: "automatic",
        maximumLagOnFailover: 0,
        workload: Workload.manySmallUpdates(),
        parameters: { max_connections: 300, work_mem: "16MB", wal_level: "logical", log_connections: true },
        memoryMiB: 4096,
        hugePages: true,
        overcommit: "strict",
        logCollector: { address: "logs.example.net", trusted: [CERTIFICATE] },
        pooler: { maxClientConnections: 5000, queryWaitTimeout: 60 },
        metrics: { clients: [Peer.cidr("10.0.6.0/24")], port: 9188 },
        backups: Backups.s3("s3://archive-backups/postgres", {
          endpoint: "store.example.net:9000",
          region: "us-east-1",
          caFile: "/etc/ssl/store.pem",
          credentials: {
            id: Secret.variable(stack, "store-id"),
            secret: Secret.variable(stack, "store-key"),
          },
          encryption: Secret.variable(stack, "passphrase"),
          fullSchedule: "*-*-01 02:00",
          differentialSchedule: "daily",
          retainFull: 3,
          processes: 4,
        }),
      });
      set.primary.allowFrom(Peer.cidr("10.0.7.0/24"));
      new HaproxyKeepalivedPair(stack, "lb", {
        platform,
        nodes: ["pg-5", "pg-6"]
          .map((name) => platform.host(name))
          .reduce((all, host) => ({ ...all, [host.name]: host }), {}),
        virtualIp: VirtualIp.layer2("10.0.1.90/24"),
      }).balance("metadata", { port: 5432, to: set.primary, clients: [Peer.cidr("10.0.8.0/24")] });
      set.pooled.allowFrom(Peer.cidr("10.0.9.0/24"));
      return set;
    }),
  ];
}

/** A set that follows another one, and is followed itself. */
function standbySet(stack: TerraformStack): PostgresReplicaSet {
  return newSet(stack, {
    standbyOf: { members: { "old-2": "10.2.0.12", "old-1": "10.2.0.11" } },
    standbys: [Peer.cidr("10.3.0.0/24")],
  });
}

function setCase(
  name: string,
  build: (stack: TerraformStack) => PostgresReplicaSet,
): { name: string; files: Record<string, string> } {
  const stack = newStack();
  const set = build(stack);
  const template = Template.synth(stack).hasNoErrors();
  const file = (path: string, machine = "pg-1"): string => template.file(machine, path);
  const patroni = "/etc/patroni/cdktf-ha";
  return {
    name,
    files: {
      "access.yml": file(`${patroni}/20-access.yml`),
      "member.yml": file(`${patroni}/50-member.yml`),
      "settings.json": file(`${patroni}/settings.json`),
      "schema.json": file(`${patroni}/schema.json`),
      "patroni.service": file("/etc/systemd/system/patroni.service"),
      etcd: file("/etc/default/etcd", set.etcd.machines[0]!.name),
      ...(set.etcd.tls
        ? {
            "etcd-facts": file("/etc/etcd/cdktf-ha", set.etcd.machines[0]!.name),
            "etcd-users": file("/etc/etcd/cdktf-ha-users", set.etcd.machines[0]!.name),
            "etcd-firewall.nft": file("/etc/cdktf-ha/firewall.nft", set.etcd.machines[0]!.name),
            "etcd-certificate.service": file(
              "/etc/systemd/system/etcd-certificate.service",
              set.etcd.machines[0]!.name,
            ),
            "etcd-certificate.timer": file(
              "/etc/systemd/system/etcd-certificate.timer",
              set.etcd.machines[0]!.name,
            ),
          }
        : {}),
      "firewall.nft": file("/etc/cdktf-ha/firewall.nft"),
      ...(set.pooler
        ? {
            "pgbouncer.ini": file("/etc/pgbouncer/cdktf-ha/pgbouncer.ini"),
            "pgbouncer-hba.conf": file("/etc/pgbouncer/cdktf-ha/hba.conf"),
            "pgbouncer.service": file("/etc/systemd/system/pgbouncer.service"),
            "pgbouncer-follow.service": file("/etc/systemd/system/pgbouncer-follow.service"),
          }
        : {}),
      ...(set.leaderAddress ? { "keepalived.conf": file("/etc/keepalived/keepalived.conf") } : {}),
      ...(set.packages.source
        ? {
            "facts.json": file(`${patroni}/facts.json`),
            "cdktf-ha-postgres.sources": file("/etc/apt/sources.list.d/cdktf-ha-postgres.sources"),
          }
        : {}),
      ...(set.props.metrics
        ? {
            "prometheus-postgres-exporter.service": file(
              "/etc/systemd/system/prometheus-postgres-exporter.service",
            ),
          }
        : {}),
      ...(set.props.logCollector
        ? {
            "rsyslog.conf": file("/etc/rsyslog.d/60-cdktf-ha-postgres-logs.conf"),
            "sysctl.conf": file("/etc/sysctl.d/60-cdktf-ha-postgres.conf"),
          }
        : {}),
      ...(set.props.backups
        ? {
            "delayed-member.yml": file(`${patroni}/50-member.yml`, "pg-4"),
            "pgbackrest.conf": file("/etc/pgbackrest/pgbackrest.conf"),
            "postgres-backup-full.service": file("/etc/systemd/system/postgres-backup-full.service"),
            "postgres-backup-full.timer": file("/etc/systemd/system/postgres-backup-full.timer"),
          }
        : {}),
    },
  };
}
