import type { TerraformStack } from "cdktf";
import {
  Backups,
  EtcdCluster,
  EtcdTls,
  HaproxyKeepalivedPair,
  PostgresPackages,
  PostgresReplicaSet,
  PostgresTls,
  PostgresVersion,
  Secret,
  ServerTls,
  Timers,
  VirtualIp,
  type MemberProps,
  type PoolerProps,
  type PostgresReplicaSetProps,
  type ProblemCode,
  type SshBackupProps,
} from "../../lib";
import { CERTIFICATE } from "../golden/certificate";
import { newAws } from "../support/stack";
import { HOST_KEY, newSet, setHosts } from "./sets";

/** Sets whose author is wrong, by the code they are refused with: test/bad-input.test.ts tries them all. */
const set =
  (props: Partial<PostgresReplicaSetProps>) =>
  (stack: TerraformStack): PostgresReplicaSet =>
    newSet(stack, props);
const withRoles =
  (props: Partial<PostgresReplicaSetProps>, ...names: string[]) =>
  (stack: TerraformStack): PostgresReplicaSet =>
    newSet(stack, {
      roles: names.map((name, index) => ({ name, password: Secret.variable(stack, `password-${index}`) })),
      ...props,
    });
/** A set whose role owns a database, with poolers. */
const pooled = (pooler: PoolerProps, props: Partial<PostgresReplicaSetProps> = {}) =>
  withRoles({ databases: [{ name: "a", owner: "app" }], pooler, ...props }, "app");
const timers = { ttl: 30, loopWait: 10, retryTimeout: 10, primaryStartTimeout: 60 };
/** The second and the third of three members with a part of their own. */
const roles = (second: MemberProps, third: MemberProps = {}, more: Partial<PostgresReplicaSetProps> = {}) =>
  set({ members: { "pg-1": {}, "pg-2": second, "pg-3": third }, ...more });
const byHost =
  (props: Partial<SshBackupProps>, path = "/srv/backups", host = "10.9.0.5") =>
  (stack: TerraformStack): PostgresReplicaSet =>
    newSet(stack, {
      backups: Backups.ssh(host, path, {
        privateKey: Secret.variable(stack, "key"),
        hostKey: HOST_KEY,
        ...props,
      }),
    });
const following = { standbyOf: { members: { "old-1": "10.2.0.11" } } };
const trusted = { trusted: [CERTIFICATE] };
const authority = (stack: TerraformStack, name: string): PostgresTls =>
  PostgresTls.authority(Secret.variable(stack, "authority"), { ...trusted, names: [name] });
const etcd = (nodes: readonly string[]) => (stack: TerraformStack) =>
  new EtcdCluster(stack, "etcd", { platform: setHosts(stack), nodes });

/** A set that shares an etcd, which speaks TLS or not. */
const sharing =
  (more: (stack: TerraformStack) => Partial<PostgresReplicaSetProps>, speaksTls = true) =>
  (stack: TerraformStack): PostgresReplicaSet => {
    const platform = setHosts(stack);
    const tls = speaksTls ? EtcdTls.authority(Secret.variable(stack, "etcd-authority"), trusted) : undefined;
    const shared = new EtcdCluster(stack, "etcd", { platform, nodes: ["pg-5", "pg-6", "pg-7"], tls });
    return newSet(stack, { platform, etcd: shared, ...more(stack) });
  };
const shown = (stack: TerraformStack): Partial<PostgresReplicaSetProps> => ({
  etcdCertificate: Secret.variable(stack, "etcd-certificate"),
});

export function refusedSets(): Partial<Record<ProblemCode, [string, (stack: TerraformStack) => unknown][]>> {
  return {
    "even-etcd": [
      ["two", etcd(["pg-1", "pg-2"])],
      ["nine", (stack) => new EtcdCluster(stack, "e", { platform: newAws(stack), nodes: many(9) })],
    ],
    "timers-break-rule": [
      ["Patroni's own with a shorter ttl", () => Timers.of({ ...timers, ttl: 25 })],
      ["a long retry", () => Timers.of({ ...timers, retryTimeout: 11 })],
    ],
    "bad-moment": [
      [
        "no zone",
        set({ recovery: { from: Backups.directory("/mnt/b"), set: "old", to: "2026-11-20 14:03:59" } }),
      ],
    ],
    "same-name": [
      ["a member of the set that is followed", set({ standbyOf: { members: { "pg-2": "10.2.0.12" } } })],
      ["itself", set({ recovery: { from: Backups.directory("/mnt/b"), set: "metadata" } })],
    ],
    "no-credentials": [
      ["hosts and a bucket", set({ backups: Backups.s3("s3://backups", { region: "eu-west-1" }) })],
    ],
    "no-region": [
      [
        "hosts and a bucket",
        (stack) =>
          newSet(stack, {
            backups: Backups.s3("s3://backups", {
              credentials: { id: Secret.variable(stack, "id"), secret: Secret.variable(stack, "key") },
            }),
          }),
      ],
    ],
    "bad-path": [
      ["backups at no absolute path", () => Backups.directory("backups")],
      ["backups at a host's home", byHost({}, "~/backups")],
    ],
    "bad-key": [
      ["no key of the host's", byHost({ hostKey: [] })],
      ["a fingerprint", byHost({ hostKey: "SHA256:eLTvhc2VuvJ0sUnNa8EYuTkqVLkqLRNYiNJVKRjOlDw" })],
    ],
    "bad-address": [
      ["a set that is followed, by a name", set({ standbyOf: { members: { old: "old.example.net" } } })],
      ["a collector of logs by an URL", set({ logCollector: { address: "tcp://10.0.9.1" } })],
      ["a bucket's own address", () => Backups.s3("https://backups.s3.amazonaws.com")],
      ["a store by its address", () => Backups.s3("s3://backups", { endpoint: "10.0.0.5:9000" })],
      [
        "a mirror with a login",
        () => PostgresPackages.pgdg(PostgresVersion.V16, { mirror: "https://me:secret@mirror.example.net" }),
      ],
      [
        "keys by plain http",
        () => PostgresPackages.pgdg(PostgresVersion.V16, { keys: "http://mirror.example.net/KEYS" }),
      ],
      ["a host with its port", byHost({}, "/srv/backups", "backup.example.net:22")],
      ["a store by a URL", () => Backups.s3("s3://backups", { endpoint: "https://store.example.net" })],
    ],
    "no-standby": [
      ["synchronous alone", set({ members: ["pg-1"], synchronous: "on" })],
      ["strict with two", set({ members: ["pg-1", "pg-2"], synchronous: "strict" })],
      ["one that may be waited for", roles({ noSync: true }, { applyDelay: "1h" })],
      ["copies of copies", roles({ replicateFrom: "pg-1" }, { replicateFrom: "pg-1" })],
      ["strict with two that may be waited for", roles({}, { noFailover: true }, { synchronous: "strict" })],
    ],
    "nobody-leads": [
      [
        "nobody",
        set({ members: { "pg-1": { noFailover: true }, "pg-2": { applyDelay: "1d" } }, synchronous: "off" }),
      ],
      ["the only one", set({ members: { "pg-1": { noFailover: true } } })],
    ],
    "unknown-node": [
      ["whose PostgreSQL is taken over", set({ takeOver: { member: "pg-9" } })],
      ["a source", roles({ replicateFrom: "pg-9" })],
    ],
    "replication-circle": [
      ["itself", roles({ replicateFrom: "pg-2" })],
      ["each other", roles({ replicateFrom: "pg-3" }, { replicateFrom: "pg-2" }, { synchronous: "off" })],
    ],
    "bad-duration": [
      ["no unit", roles({ applyDelay: "3600" })],
      ["nothing", roles({ applyDelay: "0h" })],
      ["a word", roles({ applyDelay: "1 hour" })],
    ],
    "no-servers": [
      [
        "nobody is read from",
        (stack) =>
          newSet(stack, {
            members: { "pg-1": { noLoadBalance: true }, "pg-2": { applyDelay: "1h" } },
          }).replicas.balanceTarget(),
      ],
    ],
    "patroni-owns": [
      ["a delay for all", set({ parameters: { recovery_min_apply_delay: "1h" } })],
      ["the port", set({ parameters: { port: 5433 } })],
      ["who is waited for", set({ parameters: { synchronous_standby_names: "*" } })],
      ["where recovery ends", set({ parameters: { recovery_target_time: "now" } })],
      ["TLS", set({ parameters: { ssl: true } })],
      [
        "two ways for the log",
        set({ backups: Backups.directory("/mnt/backups"), parameters: { archive_command: "/bin/true" } }),
      ],
      ["no WAL for replicas", set({ parameters: { wal_level: "minimal" } })],
    ],
    "too-few-slots": [
      ["senders", set({ parameters: { max_wal_senders: 4 } })],
      [
        "slots",
        set({ members: ["pg-1", "pg-2", "pg-3", "pg-4", "pg-5"], parameters: { max_replication_slots: 4 } }),
      ],
    ],
    "unknown-parameter": [
      ["a letter too few", set({ parameters: { max_connection: 200 } })],
      ["of a later version", set({ parameters: { transaction_timeout: "1min" } })],
      [
        "of an earlier version",
        set({
          packages: PostgresPackages.pgdg(PostgresVersion.V17),
          parameters: { old_snapshot_threshold: "1h" },
        }),
      ],
    ],
    "take-over-late": [["the second member", set({ takeOver: { member: "pg-2" } })]],
    "no-pooler": [["asked for", (stack) => newSet(stack).pooled]],
    "nobody-pooled": [
      ["no roles", set({ pooler: {}, databases: [{ name: "a" }] })],
      ["a role without a database", withRoles({ pooler: {} }, "app")],
    ],
    "pool-above-connections": [
      ["three members' pools", pooled({ defaultPoolSize: 31 })],
      ["a parameter", pooled({ defaultPoolSize: 20 }, { parameters: { max_connections: 60 } })],
      [
        "of a role with few connections",
        (stack) =>
          newSet(stack, {
            pooler: {},
            databases: [{ name: "a", owner: "app" }],
            roles: [{ name: "app", password: Secret.variable(stack, "app"), connectionLimit: 2 }],
          }),
      ],
      [
        "more databases than connections",
        withRoles(
          { pooler: {}, databases: many(31).map((_, index) => ({ name: `a${index}`, owner: "app" })) },
          "app",
        ),
      ],
    ],
    "unknown-role": [
      ["an owner", set({ databases: [{ name: "esmond", owner: "esmond" }] })],
      ["asked for", (stack) => newSet(stack).credentials("nobody")],
      ["of a connection string", (stack) => newSet(stack).primary.connectionString("a", "a@b")],
    ],
    "no-nodes": [
      ["no members", set({ members: [] })],
      ["nobody to follow", set({ standbyOf: { members: {} } })],
    ],
    "unknown-database": [
      [
        "of a connection string",
        (stack) =>
          withRoles({ databases: [{ name: "a" }] }, "app")(stack).primary.connectionString("a", "app"),
      ],
      [
        "of a grant",
        (stack) =>
          newSet(stack, {
            roles: [{ name: "a", password: Secret.variable(stack, "a"), grants: { other: "read" } }],
          }),
      ],
    ],
    "memory-above-machine": [
      [
        "for the instance's type",
        (stack) =>
          newSet(stack, {
            platform: newAws(stack),
            members: { "pg-1": { instanceType: "m5.large", zone: "a" } },
            parameters: { shared_buffers: "8GB" },
          }),
      ],
    ],
    "not-durable": [
      ["commits that wait for nobody", set({ parameters: { synchronous_commit: "off" } })],
      ["for the own disk only", set({ parameters: { synchronous_commit: "local" } })],
      ["for the other one's memory", set({ parameters: { synchronous_commit: "remote_write" } })],
      ["no disk", set({ synchronous: "off", parameters: { fsync: false } })],
      ["half pages", set({ parameters: { full_page_writes: "off" } })],
    ],
    "only-by-balancer": [
      ["a connection string", (stack) => newSet(stack).synchronousReplica.connectionString("a", "a")],
    ],
    "port-out-of-range": [
      ["of a host", byHost({ port: 0 })],
      ["of metrics", set({ metrics: { clients: [], port: 70_000 } })],
      ["of a collector of logs", set({ logCollector: { address: "10.0.9.1", port: 0 } })],
    ],
    "listener-clash": [
      ["metrics where Patroni answers", set({ metrics: { clients: [], port: 8008 } })],
      ["metrics where etcd answers", set({ metrics: { clients: [], port: 2379 } })],
    ],
    "secret-not-shared": [
      ["the key to a host", byHost({ privateKey: Secret.generated("key") })],
      ["the members'", set({ memberPassword: Secret.generated("members") })],
      ["a role's", set({ roles: [{ name: "a", password: Secret.generated("a") }] })],
      ["the authority's", set({ tls: PostgresTls.authority(Secret.generated("ca"), trusted) })],
    ],
    "tls-without-certificate": [
      ["nobody is trusted", () => PostgresTls.given({}, { trusted: [] })],
      ["a collector that nobody vouches for", set({ logCollector: { address: "10.0.9.1", trusted: [] } })],
      ["a member has none", set({ tls: PostgresTls.given({}, trusted) })],
      ["a set that has nothing to show to the etcd that it shares", sharing(() => ({}))],
      [
        "a set with certificates of its members only",
        (stack) => {
          const own = ["pg-1", "pg-2", "pg-3"].map((name) => [name, Secret.variable(stack, name)] as const);
          return newSet(stack, { tls: PostgresTls.given(Object.fromEntries(own), trusted) });
        },
      ],
      ["dice for etcd", sharing(() => ({ etcdCertificate: Secret.generated("etcd") }))],
      [
        "a member of etcd has none",
        (stack) =>
          new EtcdCluster(stack, "etcd", {
            platform: setHosts(stack),
            nodes: ["pg-1", "pg-2", "pg-3"],
            tls: EtcdTls.given({ "pg-1": Secret.variable(stack, "pg-1") }, trusted),
          }),
      ],
      [
        "etcd's authority is dice",
        (stack) =>
          new EtcdCluster(stack, "etcd", {
            platform: setHosts(stack),
            nodes: ["pg-1"],
            tls: EtcdTls.authority(Secret.generated("authority"), trusted),
          }),
      ],
      ["etcd trusts nobody", () => EtcdTls.given({}, { trusted: ["nobody"] })],
    ],
    "key-in-the-open": [
      [
        "an authority with its key",
        () => PostgresTls.given({}, { trusted: [`${CERTIFICATE}-----BEGIN EC PRIVATE KEY-----\nMHc=\n`] }),
      ],
      [
        "a collector's authority with its key",
        set({
          logCollector: {
            address: "logs.example.net",
            trusted: [`${CERTIFICATE}-----BEGIN PRIVATE KEY-----`],
          },
        }),
      ],
    ],
    "conflicting-setting": [
      [
        "a collector of logs that go to files",
        set({ logCollector: { address: "10.0.9.1" }, parameters: { logging_collector: true } }),
      ],
      [
        "a server that is taken over by a set that follows another one",
        set({ ...following, takeOver: { member: "pg-1" } }),
      ],
      ["a volume for hosts", set({ dataVolume: { sizeGiB: 100 } })],
      [
        "members that show certificates without TLS",
        (stack) =>
          PostgresTls.authority(Secret.variable(stack, "ca"), {
            ...trusted,
            members: "optional",
            memberAuthentication: "certificate",
          }),
      ],
      [
        "TLS by datagrams",
        set({ logCollector: { address: "logs.example.net", protocol: "udp", ...trusted } }),
      ],
      [
        "huge pages of a server that does not count them",
        set({ hugePages: true, packages: PostgresPackages.pgdg(PostgresVersion.V14) }),
      ],
      [
        "a collector's name that nobody looks for",
        set({ logCollector: { address: "10.0.9.1", name: "logs" } }),
      ],
      ["huge pages of another size", set({ hugePages: true, parameters: { huge_page_size: "1GB" } })],
      ["huge pages that nobody takes", set({ hugePages: true, parameters: { huge_pages: "off" } })],
      ["a pooler of a set that follows", set({ ...following, pooler: {} })],
      ["backups of a set that follows", set({ ...following, backups: Backups.directory("/mnt/backups") })],
      [
        "two beginnings",
        set({ ...following, recovery: { from: Backups.directory("/mnt/backups"), set: "old" } }),
      ],
      ["backups on a member, by its address", byHost({}, "/srv/backups", "10.0.1.42")],
      ["a delayed one that leads", roles({ applyDelay: "1h", noFailover: false })],
      ["one that never leads and is waited for", roles({ noFailover: true, noSync: false })],
      [
        "a copy of a delayed one",
        roles({ applyDelay: "1h" }, { replicateFrom: "pg-2" }, { synchronous: "off" }),
      ],
      [
        "the replica that has every commit, where none has",
        (stack) => newSet(stack, { synchronous: "off" }).synchronousReplica.balanceTarget(),
      ],
      [
        "certificates of clients that speak plainly",
        () => PostgresTls.given({}, { ...trusted, client: "optional", clientCertificates: true }),
      ],
      ["a certificate for an etcd that speaks plainly", sharing(shown, false)],
      [
        "a certificate for etcd, and members that issue themselves one",
        (stack) => {
          const tls = PostgresTls.authority(Secret.variable(stack, "authority"), trusted);
          return newSet(stack, { tls, ...shown(stack) });
        },
      ],
      [
        "TLS to a shared etcd, said by a set",
        sharing((stack) => ({
          tls: PostgresTls.authority(Secret.variable(stack, "authority"), { ...trusted, etcd: "required" }),
          ...shown(stack),
        })),
      ],
      [
        "TLS of the load balancer's own to members that have theirs",
        (stack) => {
          const platform = setHosts(stack);
          const tls = PostgresTls.authority(Secret.variable(stack, "authority"), trusted);
          const set = newSet(stack, { platform, tls });
          new HaproxyKeepalivedPair(stack, "lb", {
            platform,
            nodes: ["pg-6", "pg-7"],
            virtualIp: VirtualIp.layer2("10.0.1.90/24"),
          }).balance("metadata", { port: 5432, to: set.primary, serverTls: ServerTls.unverified() });
        },
      ],
    ],
    "bad-name": [
      ["a host's account", byHost({ user: "-oProxyCommand=sh" })],
      ["a set", set({ name: "a b" })],
      [
        "a collector's certificate for an address",
        set({ logCollector: { address: "10.0.9.1", ...trusted } }),
      ],
      [
        "a part of a repository",
        () => PostgresPackages.pgdg(PostgresVersion.V16, { suite: "bookworm pgdg" }),
      ],
      ["a cluster that is taken over", set({ takeOver: { member: "pg-1", cluster: "../main" } })],
      [
        "a member of etcd, as etcd's own user",
        (stack) => {
          const platform = newAws(stack);
          const tls = EtcdTls.authority(Secret.variable(stack, "authority"), trusted);
          return new EtcdCluster(stack, "etcd", { platform, nodes: { root: { zone: "a" } }, tls });
        },
      ],
      ["a database", set({ databases: [{ name: "Esmond" }] })],
      ["PostgreSQL's own database", set({ databases: [{ name: "template1" }] })],
      ["a role of the set's own", withRoles({}, "rewind")],
      ["a parameter", set({ parameters: { "work mem": 1 } })],
      ["a name in a certificate", (stack) => authority(stack, "a b")],
      [
        "PgBouncer's own database",
        withRoles({ databases: [{ name: "pgbouncer", owner: "app" }], pooler: {} }, "app"),
      ],
      [
        "a role of PgBouncer's console",
        withRoles({ databases: [{ name: "a", owner: "cdktf_ha_switch" }], pooler: {} }, "cdktf_ha_switch"),
      ],
      ["an extension", set({ databases: [{ name: "a", extensions: ["a b"] }] })],
    ],
    "duplicate-name": [
      ["databases", set({ databases: [{ name: "a" }, { name: "a" }] })],
      ["roles", withRoles({}, "a", "a")],
      ["a set, as a member of etcd", sharing((stack) => ({ ...shown(stack), name: "pg-6" }))],
      ["a set, as etcd's own user", sharing((stack) => ({ ...shown(stack), name: "root" }))],
      [
        "sets that share an etcd",
        (stack) => {
          const platform = setHosts(stack);
          const shared = new EtcdCluster(stack, "etcd", { platform, nodes: ["pg-5", "pg-6", "pg-7"] });
          for (const [id, member] of [
            ["one", "pg-1"],
            ["two", "pg-2"],
          ] as const) {
            new PostgresReplicaSet(stack, id, {
              platform,
              members: [member],
              name: "archive",
              etcd: shared,
              memberPassword: Secret.variable(stack, `${id}-password`),
            });
          }
        },
      ],
    ],
    "number-out-of-range": [
      ["no backup kept", () => Backups.directory("/mnt/backups", { retainFull: 0 })],
      ["a ttl below Patroni's own", () => Timers.of({ ...timers, ttl: 10, loopWait: 2, retryTimeout: 3 })],
      ["no members", set({ members: 0 })],
      ["connections that Patroni would ignore", set({ parameters: { max_connections: 20 } })],
      ["a lag", set({ maximumLagOnFailover: -1 })],
      ["a delay of a month", roles({ applyDelay: "30d" })],
      ["no client of a pooler", pooled({ maxClientConnections: 0 })],
      ["an empty pool", pooled({ defaultPoolSize: 0 })],
      ["who waits for no switchover", pooled({ queryWaitTimeout: 5 })],
    ],
  };
}

/** What works, but not as well as its author may think. */
export function warnedSets(): Partial<Record<ProblemCode, (stack: TerraformStack) => unknown>> {
  return {
    "one-member": set({ members: ["pg-1"] }),
    "two-members": set({ members: ["pg-1", "pg-2"] }),
    "no-successor": roles({ noFailover: true }, { applyDelay: "1h" }, { synchronous: "off" }),
    "one-etcd": set({ members: ["pg-1", "pg-2"] }),
    "quorum-in-one-zone": etcd(["pg-1", "pg-4", "pg-2"]),
  };
}

function many(count: number): string[] {
  return Array.from({ length: count }, (_, index) => `pg-${index + 1}`);
}
