import { TerraformVariable, type TerraformStack } from "cdktf";
import {
  Backups,
  EtcdCluster,
  HaproxyKeepalivedPair,
  Peer,
  Port,
  PostgresPackages,
  PostgresReplicaSet,
  type PostgresReplicaSetProps,
  PostgresTls,
  type PostgresTlsProps,
  PostgresVersion,
  Secret,
  type SyslogCollectorProps,
  Timers,
  VirtualIp,
} from "../../lib";
import { mebibytes, splitParameters } from "../../lib/postgres-replica-set/parameters";
import { isKnown, versionsOf } from "../../lib/postgres-replica-set/parameter-names";
import { renderPgbouncerIni } from "../../lib/postgres-replica-set/pgbouncer-ini";
import { largestPool, LEAST_FREE, poolerModel, poolsOf } from "../../lib/postgres-replica-set/pooler";
import { renderHba, type HbaModel } from "../../lib/postgres-replica-set/pg-hba";
import { Template } from "../../lib/testing";
import { CERTIFICATE } from "../golden/certificate";
import { newAws, newStack } from "../support/stack";
import { HOST_KEY, newSet, setHosts } from "./sets";

const KEYS = "-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nmDMEZ\n-----END PGP PUBLIC KEY BLOCK-----";

test("pg_hba.conf says who may come in, and nothing else", () => {
  const lines = renderHba({
    members: ["10.0.1.42/32"],
    clients: ["10.0.7.0/24", "10.0.1.66/32", "10.0.7.0/24"],
    databases: { reports: ["tickets", "esmond"], esmond: ["esmond"], idle: [] },
  });
  expect(lines).toEqual([
    "local all postgres peer",
    "local replication replicator scram-sha-256",
    "host replication replicator 10.0.1.42/32 scram-sha-256",
    "host postgres rewind 10.0.1.42/32 scram-sha-256",
    "host esmond esmond 10.0.1.66/32 scram-sha-256",
    "host esmond,tickets reports 10.0.1.66/32 scram-sha-256",
    "host esmond esmond 10.0.7.0/24 scram-sha-256",
    "host esmond,tickets reports 10.0.7.0/24 scram-sha-256",
  ]);
});

describe("an address that follows the primary", () => {
  const served = (stack: TerraformStack): Partial<PostgresReplicaSetProps> => ({
    databases: [{ name: "esmond", owner: "esmond" }],
    roles: [{ name: "esmond", password: Secret.variable(stack, "esmond-password") }],
  });

  test("is listened on by every member, and held by the one whose Patroni says that it leads", () => {
    const stack = newStack();
    const set = newSet(stack, { virtualIp: VirtualIp.layer2("10.0.1.95/24"), pooler: {}, ...served(stack) });
    const template = Template.synth(stack).hasNoErrors();
    expect(set.address).toBe("10.0.1.95");
    expect(set.topology().addresses).toEqual([{ group: "main", address: "10.0.1.95", mode: "layer2" }]);
    expect(template.file("pg-2", "/etc/patroni/cdktf-ha/50-member.yml")).toContain(
      '"listen": "10.0.1.42,10.0.1.95:5432"',
    );
    expect(template.file("pg-2", "/etc/pgbouncer/cdktf-ha/pgbouncer.ini")).toContain(
      "listen_addr = 10.0.1.42,10.0.1.95\n",
    );
    expect(template.file("pg-2", "/etc/keepalived/keepalived.conf")).toContain(
      'script "/usr/local/lib/cdktf-ha/postgres/leads 10.0.1.42 http https"',
    );
    expect(template.file("pg-2", "/etc/keepalived/cdktf-ha-follows")).toBe(
      "/usr/local/lib/cdktf-ha/postgres/leads 10.0.1.42 http https\n",
    );
    expect(template.file("pg-2", "/etc/systemd/system/pgbouncer.service")).toContain(
      "# listens on 10.0.1.95 too\n",
    );
    template.hasPort(set, Port.vrrp()).onlyFrom(set);
  });

  test("is in the certificates that members issue themselves; one that AWS translates needs no listener", () => {
    const stack = newStack();
    const tls = PostgresTls.authority(Secret.variable(stack, "authority"), { trusted: [CERTIFICATE] });
    newSet(stack, { virtualIp: VirtualIp.layer2("10.0.1.95/24"), tls });
    const template = Template.synth(stack).hasNoErrors();
    const facts = JSON.parse(template.file("pg-1", "/etc/patroni/cdktf-ha/facts.json")) as object;
    expect(facts).toMatchObject({ tls: { alternatives: ["IP:10.0.1.41", "IP:10.0.1.95"] } });
    expect(template.file("pg-1", "/etc/keepalived/keepalived.conf")).toContain("/leads 10.0.1.41 https http");
    const cloud = newStack();
    newSet(cloud, {
      platform: newAws(cloud),
      members: { "pg-1": { zone: "a" }, "pg-2": { zone: "b" } },
      virtualIp: VirtualIp.elastic(),
    });
    const member = Template.synth(cloud).hasNoErrors().file("pg-1", "/etc/patroni/cdktf-ha/50-member.yml");
    expect(member).toMatch(/"listen": "[^,]+:5432"/);
  });

  test("of a set that follows another one is nobody's; of one member it moves nowhere; it is of the members' family, and known", () => {
    const virtualIp = VirtualIp.layer2("10.0.1.95/24");
    const one = newStack();
    newSet(one, { members: ["pg-1"], virtualIp });
    const template = Template.synth(one).hasNoErrors().hasWarning("too-few-nodes");
    expect(template.file("pg-1", "/etc/keepalived/keepalived.conf")).not.toContain("unicast");
    expect(() => newSet(newStack(), { virtualIp: VirtualIp.layer2("fd00::95/64") })).toThrow(
      "[virtual-ip-mode]",
    );
    const stack = newStack();
    const variable = new TerraformVariable(stack, "address", { type: "string" });
    expect(() => newSet(stack, { virtualIp: VirtualIp.layer2(variable.stringValue) })).toThrow(
      "[concrete-value-needed]",
    );
  });

  test("is asked for where there is none", () => {
    expect(() => newSet(newStack()).address).toThrow("[no-virtual-ip]");
    expect(() => newSet(newStack(), { vrrp: { advertInterval: 1 } })).toThrow("[no-virtual-ip]");
  });
});

test("with TLS, pg_hba.conf asks for it, and for certificates where they are wanted", () => {
  const networks = { members: ["10.0.1.42/32"], clients: ["10.0.7.0/24"], databases: { esmond: ["esmond"] } };
  const lines = (tls: HbaModel["tls"]): string[] => renderHba({ ...networks, tls }).slice(2);
  const required = {
    members: "required",
    memberAuthentication: "password",
    client: "required",
    clientCertificates: true,
  } as const;
  expect(lines(required)).toEqual([
    "hostssl replication replicator 10.0.1.42/32 scram-sha-256",
    "hostssl postgres rewind 10.0.1.42/32 scram-sha-256",
    "hostssl esmond esmond 10.0.7.0/24 scram-sha-256 clientcert=verify-ca",
  ]);
  const optional = {
    ...required,
    members: "optional",
    client: "optional",
    clientCertificates: false,
  } as const;
  expect(lines(optional)).toEqual(lines(undefined));
});

test("a set that serves nobody but itself is warned of, until somebody is let in", () => {
  const stack = newStack();
  newSet(stack);
  Template.synth(stack).hasNoErrors().hasWarning("nobody-admitted");
  const other = newStack();
  newSet(other).replicas.allowFrom(Peer.cidr("10.0.7.0/24"));
  expect(() => Template.synth(other).hasWarning("nobody-admitted")).toThrow("nobody-admitted");
});

test("members log in by their own certificates where that is said, sets that follow by the password", () => {
  const stack = newStack();
  newSet(stack, {
    standbys: [Peer.cidr("10.3.0.0/24")],
    tls: PostgresTls.authority(Secret.variable(stack, "authority"), {
      trusted: [CERTIFICATE],
      memberAuthentication: "certificate",
    }),
  });
  const access = Template.synth(stack).hasNoErrors().file("pg-2", "/etc/patroni/cdktf-ha/20-access.yml");
  const { postgresql } = JSON.parse(access.slice(access.indexOf("{"))) as {
    postgresql: { pg_hba: string[]; pg_ident: string[]; authentication: object; parameters: object };
  };
  expect(postgresql.pg_hba.filter((line) => line.startsWith("hostssl replication"))).toEqual([
    "hostssl replication replicator 10.0.1.41/32 cert map=members",
    "hostssl replication replicator 10.0.1.43/32 cert map=members",
    "hostssl replication replicator 10.3.0.0/24 scram-sha-256",
  ]);
  expect(postgresql.pg_ident).toEqual([
    "members pg-1 replicator",
    "members pg-1 rewind",
    "members pg-3 replicator",
    "members pg-3 rewind",
  ]);
  const own = "/etc/patroni/cdktf-ha/tls/member.pem";
  expect(postgresql.authentication).toMatchObject({ rewind: { sslcert: own, sslkey: own } });
  expect(postgresql.parameters).toMatchObject({ ssl_ca_file: "/etc/patroni/cdktf-ha/tls/trusted.pem" });
});

test("what is said goes to a collector, plainly or to one that shows a certificate", () => {
  const conf = (logCollector: SyslogCollectorProps): string => {
    const stack = newStack();
    newSet(stack, { logCollector });
    return Template.synth(stack).hasNoErrors().file("pg-1", "/etc/rsyslog.d/60-cdktf-ha-postgres-logs.conf");
  };
  expect(conf({ address: "10.0.9.1" })).toContain('target="10.0.9.1"\n    port="514"\n    protocol="tcp"');
  expect(conf({ address: "10.0.9.1", protocol: "udp", port: 5514 })).not.toContain("TCP_Framing");
  const tls = conf({ address: "logs.example.net", trusted: [CERTIFICATE] });
  expect(tls).toContain('port="6514"');
  expect(tls).toContain(
    'StreamDriverAuthMode="x509/name"\n    StreamDriverPermittedPeers="logs.example.net"',
  );
});

test("each member has a certificate for its own address, and clients are told to want one", () => {
  const stack = newStack();
  const set = newSet(stack, {
    databases: [{ name: "a", owner: "a" }],
    roles: [{ name: "a", password: Secret.variable(stack, "a") }],
    tls: PostgresTls.authority(Secret.variable(stack, "authority"), {
      trusted: [CERTIFICATE],
      names: ["db.example.net", "10.0.1.90"],
    }),
  });
  const facts = Template.synth(stack).hasNoErrors().file("pg-2", "/etc/patroni/cdktf-ha/facts.json");
  expect((JSON.parse(facts) as { tls: object }).tls).toMatchObject({
    alternatives: ["IP:10.0.1.42", "DNS:db.example.net", "IP:10.0.1.90"],
  });
  expect(set.primary.connectionString("a", "a")).toMatch(/&sslmode=verify-full$/);
});

test("load balancers ask Patroni by TLS, and trust whom the members trust", () => {
  const configOf = (rest?: "none"): string[] => {
    const stack = newStack();
    const platform = setHosts(stack);
    const authority = Secret.variable(stack, "authority");
    const tls = PostgresTls.authority(authority, { trusted: [CERTIFICATE], rest });
    new HaproxyKeepalivedPair(stack, "lb", {
      platform,
      nodes: ["pg-6", "pg-7"],
      virtualIp: VirtualIp.layer2("10.0.1.90/24"),
    }).balance("metadata", { port: 5432, to: newSet(stack, { platform, tls }).primary });
    const template = Template.synth(stack).hasNoErrors();
    const files = ["haproxy.cfg", "tls/metadata-check-authority.pem"];
    return files.slice(0, rest ? 1 : 2).map((name) => template.file("pg-6", `/etc/haproxy/${name}`));
  };
  const [config, trusted] = configOf();
  expect(config).toMatch(
    /default-server .* check-ssl verify required ca-file \/etc\/haproxy\/tls\/metadata-check-authority.pem\n/,
  );
  expect(trusted).toContain(CERTIFICATE.trim());
  expect(configOf("none")[0]).not.toContain("check-ssl");
});

test("etcd of the set's own: as 'tls' says, in the set's name", () => {
  const stackOf = (props: Partial<PostgresTlsProps>): Template => {
    const stack = newStack();
    const authority = Secret.variable(stack, "authority");
    newSet(stack, { tls: PostgresTls.authority(authority, { trusted: [CERTIFICATE], ...props }) });
    return Template.synth(stack).hasNoErrors();
  };
  const access = (template: Template): { etcd: object } => {
    const text = template.file("pg-1", "/etc/patroni/cdktf-ha/20-access.yml");
    return JSON.parse(text.replace(/^#.*\n/, "")) as { etcd: object };
  };
  const urls = (template: Template): string[] =>
    template.file("pg-1", "/etc/default/etcd").match(/(?<=_URLS=).*/g)!;
  const unit = (template: Template): string => template.file("pg-1", "/etc/systemd/system/patroni.service");
  const hosts = ["10.0.1.41:2379", "10.0.1.42:2379", "10.0.1.43:2379"];
  const [plain, both, required] = [stackOf({ etcd: "none" }), stackOf({ etcd: "optional" }), stackOf({})];
  expect(access(plain).etcd).toEqual({ hosts });
  expect(unit(plain)).not.toContain("ETCD");
  expect(urls(plain)).toEqual(urls(stackOf({ members: "optional" })));
  for (const template of [both, required]) {
    expect(access(template).etcd).toEqual({
      hosts,
      protocol: "https",
      cacert: "/etc/patroni/cdktf-ha/tls/etcd-trusted.pem",
      cert: "/etc/patroni/cdktf-ha/tls/etcd.pem",
      key: "/etc/patroni/cdktf-ha/tls/etcd.pem",
    });
    // what Patroni reads at its start only makes it start anew
    expect(unit(template)).toContain("\nEnvironment=PATRONI_ETCD_PROTOCOL=https\n");
    expect(template.file("pg-2", "/etc/etcd/cdktf-ha-users")).toContain(
      "ETCD_NODES=('pg-1' 'pg-2' 'pg-3')\nETCD_SETS=('metadata')\n",
    );
  }
  expect(urls(both)).toEqual([
    "http://10.0.1.41:2380,https://10.0.1.41:2381",
    "http://10.0.1.41:2380",
    "http://10.0.1.41:2379,https://10.0.1.41:2379,http://127.0.0.1:2379",
    "http://10.0.1.41:2379",
  ]);
  expect(urls(required)).toEqual(
    Array.from({ length: 4 }, (_, n) => `https://10.0.1.41:${n < 2 ? 2381 : 2379}`),
  );
  // whoever goes back is refused by its machine, and still reached until then
  const [before, meanwhile, after] = [plain, both, required].map((template) =>
    template.file("pg-1", "/etc/cdktf-ha/firewall.nft"),
  );
  expect(before).not.toContain("2381");
  expect(meanwhile).toContain("2381");
  expect(after).toBe(meanwhile);
});

test("certificates of one's own: each member gets its own, and no authority", () => {
  const stack = newStack();
  const names = ["pg-1", "pg-2", "pg-3"];
  const certificates = Object.fromEntries(names.map((name) => [name, Secret.variable(stack, name)]));
  newSet(stack, {
    tls: PostgresTls.given(certificates, { trusted: [CERTIFICATE] }),
    etcdCertificate: Secret.variable(stack, "etcd-certificate"),
  });
  const template = Template.synth(stack).hasNoErrors();
  for (const name of names) {
    expect(template.file(name, "/etc/patroni/cdktf-ha/tls/member.pem")).toBe(certificates[name]!.placeholder);
    expect(template.file(name, "/etc/etcd/tls/member.pem")).toBe(certificates[name]!.placeholder);
  }
  const facts = template.file("pg-1", "/etc/patroni/cdktf-ha/facts.json");
  expect((JSON.parse(facts) as { tls: object }).tls).toEqual({
    certificate: "/etc/patroni/cdktf-ha/tls/member.pem",
    trusted: "/etc/patroni/cdktf-ha/tls/trusted.pem",
    rest: true,
    memberAuthentication: "password",
  });
});

test("parameters that all members share go to etcd, the others into each member's file", () => {
  expect(splitParameters({ max_connections: 200, work_mem: "8MB", log_connections: true })).toEqual({
    shared: { max_connections: 200, wal_keep_size: "128MB" },
    own: { log_connections: "on", work_mem: "8MB" },
  });
});

test.each([
  ["8GB", 8192],
  ["512 MB", 512],
  [16384, 128],
  ["1536kB", 1.5],
  ["much", undefined],
])("%s is %s MiB", (value, expected) => {
  expect(mebibytes(value)).toBe(expected);
});

test("the time of a failover is the lock's, the promotion's and the load balancer's", () => {
  expect(Timers.fast().failover()).toMatchObject({ worst: 28, mean: 21.5 });
  expect(Timers.normal().failover()).toMatchObject({ worst: 38, mean: 29 });
});

test("a new member changes only who is let in at the others", () => {
  const files = (members: readonly string[]): Record<string, string> => {
    const stack = newStack();
    newSet(stack, { members });
    const template = Template.synth(stack).hasNoErrors();
    return Object.fromEntries(
      ["/etc/patroni/cdktf-ha/20-access.yml", "/etc/patroni/cdktf-ha/50-member.yml", "/etc/default/etcd"].map(
        (path) => [path, template.file("pg-1", path)],
      ),
    );
  };
  const [three, four] = [files(["pg-1", "pg-2", "pg-3"]), files(["pg-1", "pg-2", "pg-3", "pg-4"])];
  const changed = Object.keys(three).filter((path) => three[path] !== four[path]);
  expect(changed).toEqual(["/etc/patroni/cdktf-ha/20-access.yml"]);
});

test("etcd is on the first three members, and on one where there are fewer", () => {
  const etcdOf = (members: readonly string[]): string[] =>
    newSet(newStack(), { members }).etcd.machines.map(({ name }) => name);
  expect(etcdOf(["pg-4", "pg-3", "pg-2", "pg-1"])).toEqual(["pg-1", "pg-2", "pg-3"]);
  expect(etcdOf(["pg-1", "pg-2"])).toEqual(["pg-1"]);
});

test("on AWS a number of members is enough, and the groups say who talks to whom", () => {
  const stack = newStack();
  const set = new PostgresReplicaSet(stack, "metadata", {
    platform: newAws(stack),
    members: 3,
    memberPassword: Secret.awsSecretsManager("metadata/members"),
  });
  set.primary.allowFrom(Peer.cidr("10.2.0.0/16"));
  expect(set.machines.map(({ name, zone }) => [name, zone])).toEqual([
    ["metadata-1", "a"],
    ["metadata-2", "b"],
    ["metadata-3", "c"],
  ]);
  const template = Template.synth(stack).hasNoErrors();
  template.hasPort(set, Port.tcp(5432)).onlyFrom(set, Peer.cidr("10.2.0.0/16"));
  template.hasPort(set, Port.tcp(8008)).onlyFrom(set);
  template.hasPort(set.etcd, Port.tcp(2379)).onlyFrom(set, set.etcd);
  template.hasPort(set.etcd, Port.tcp(2380)).onlyFrom(set.etcd);
  // an address that only AWS knows is one address there too
  expect(template.file("metadata-1", "/etc/patroni/cdktf-ha/20-access.yml")).toMatch(
    /host replication replicator \$\{aws_network_interface\.[\w-]+\.private_ip\}\/32 scram-sha-256/,
  );
});

test("who is there, as plain data", () => {
  const { members, needs, survives, timers } = newSet(newStack()).topology();
  expect(members).toEqual([
    { name: "pg-1", zone: "rack-1", roles: ["member"] },
    { name: "pg-2", zone: "rack-2", roles: ["member"] },
    { name: "pg-3", zone: "rack-3", roles: ["member"] },
  ]);
  expect(needs).toEqual([{ name: "etcd", members: ["pg-1", "pg-2", "pg-3"], atLeast: 2 }]);
  // two of three members with etcd on them: nobody leads
  expect(survives).toEqual({ failures: 1, of: "node" });
  expect(timers[0]).toMatchObject({ seconds: 28 });
});

test("what members are for, in Patroni's words; what follows from it is said too", () => {
  const stack = newStack();
  const set = newSet(stack, {
    members: {
      "pg-1": { noFailover: true },
      "pg-2": { noLoadBalance: true },
      "pg-3": { noSync: true },
      "pg-4": { replicateFrom: "pg-2", applyDelay: "90min" },
      "pg-5": {},
    },
    databases: [{ name: "a", owner: "a" }],
    roles: [{ name: "a", password: Secret.variable(stack, "a") }],
  });
  const template = Template.synth(stack).hasNoErrors();
  const tags = (name: string): unknown => {
    const file = template.file(name, "/etc/patroni/cdktf-ha/50-member.yml");
    return (JSON.parse(file.replace(/^#.*\n/, "")) as { tags?: unknown }).tags;
  };
  expect(["pg-1", "pg-2", "pg-3", "pg-4", "pg-5"].map(tags)).toEqual([
    { nofailover: true, nosync: true },
    { noloadbalance: true },
    { nosync: true },
    { nofailover: true, noloadbalance: true, nosync: true, replicatefrom: "pg-2", apply_delay: "90min" },
    undefined,
  ]);
  const named = (text: string): string[] => text.match(/10\.0\.1\.4\d/g) ?? [];
  expect(named(set.replicas.connectionString("a", "a"))).toEqual(["10.0.1.41", "10.0.1.43", "10.0.1.45"]);
  expect(named(set.primary.connectionString("a", "a"))).toHaveLength(5);
  expect(set.topology().members.map(({ roles }) => roles.length)).toEqual([3, 2, 2, 6, 1]);
});

test("a set that follows another one: each lets the other in, and nothing is made until it leads", () => {
  const stack = newStack();
  const platform = setHosts(stack);
  const first = newSet(stack, { platform, standbys: [Peer.cidr("10.0.1.44")] });
  const second = new PostgresReplicaSet(stack, "copy", {
    platform,
    members: ["pg-4"],
    memberPassword: first.memberPassword,
    databases: [{ name: "a" }],
    standbyOf: { members: Object.fromEntries(first.machines.map((m) => [m.name, m.privateAddress])) },
  });
  const template = Template.synth(stack).hasNoErrors();
  const hba = template.file("pg-1", "/etc/patroni/cdktf-ha/20-access.yml");
  expect(hba).toContain("host replication replicator 10.0.1.44/32 scram-sha-256");
  expect(template.file("pg-1", "/etc/cdktf-ha/firewall.nft")).toMatch(/10\.0\.1\.44/);
  expect(second.dynamic.standby).toEqual({ host: "10.0.1.41,10.0.1.42,10.0.1.43", port: 5432 });
  expect(template.file("pg-4", "/etc/patroni/cdktf-ha/settings.json")).toContain('"standby_cluster"');
  expect(template.file("pg-4", "/etc/patroni/cdktf-ha/schema.json")).toContain('"standby": true');
});

test("other packages: their source is there before them, and Patroni of the other line is not taken for the right one", () => {
  const stack = newStack();
  newSet(stack, { packages: PostgresPackages.pgdg(PostgresVersion.V17, { keys: KEYS, suite: "mine" }) });
  const template = Template.synth(stack).hasNoErrors();
  const source = "/etc/apt/sources.list.d/cdktf-ha-postgres.sources";
  expect(template.file("pg-1", source)).toContain(
    "URIs: https://apt.postgresql.org/pub/repos/apt\nSuites: mine\n",
  );
  expect(template.file("pg-1", "/etc/apt/keyrings/cdktf-ha-postgres.asc")).toBe(`${KEYS}\n`);
  expect(PostgresPackages.pgdg(PostgresVersion.V17).packages.slice(0, 2)).toEqual([
    { name: "postgresql-17" },
    { name: "patroni", version: "4.*" },
  ]);
  expect(PostgresPackages.debian12().packages.slice(0, 2)).toEqual([
    { name: "postgresql-15" },
    { name: "patroni" },
  ]);
});

test("which version knows which parameter", () => {
  expect([14, 15, 16, 17, 18].filter((major) => isKnown("vacuum_defer_cleanup_age", major))).toEqual([
    14, 15,
  ]);
  expect([14, 15, 16, 17, 18].filter((major) => isKnown("transaction_timeout", major))).toEqual([17, 18]);
  expect(versionsOf("transaction_timeout")).toBe("from 17 on");
  expect(versionsOf("logical_replication_mode")).toBe("from 16 to 16");
  expect(versionsOf("max_connection")).toBeUndefined();
  expect(isKnown("pg_stat_statements.max", 15)).toBe(true);
});

test("what a set survives: its members but one, where etcd is elsewhere", () => {
  const failures = (nodes: readonly string[]): number => {
    const stack = newStack();
    const platform = setHosts(stack);
    const etcd = new EtcdCluster(stack, "etcd", { platform, nodes });
    return newSet(stack, { platform, etcd }).topology().survives.failures;
  };
  expect(failures(["pg-5", "pg-6", "pg-7"])).toBe(2);
  expect(failures(["pg-3", "pg-6", "pg-7"])).toBe(1);
  expect(newSet(newStack(), { members: ["pg-1", "pg-2"] }).topology().survives.failures).toBe(0);
  const late = { "pg-1": {}, "pg-2": {}, "pg-3": { applyDelay: "1h" }, "pg-4": { noFailover: true } };
  const stack = newStack();
  const platform = setHosts(stack);
  const etcd = new EtcdCluster(stack, "etcd", { platform, nodes: ["pg-5", "pg-6", "pg-7"] });
  expect(newSet(stack, { platform, etcd, members: late }).topology().survives.failures).toBe(1);
});

test("what is wrong with members is said of members", () => {
  expect(() => newSet(newStack(), { members: [] })).toThrow("'members' is empty");
});

test("a client that finds the primary itself is given every member", () => {
  const stack = newStack();
  const set = newSet(stack, {
    databases: [{ name: "esmond", owner: "app" }],
    roles: [{ name: "app", password: Secret.variable(stack, "app-password") }],
  });
  expect(set.primary.connectionString("esmond", "app")).toBe(
    "postgresql://app@10.0.1.41:5432,10.0.1.42:5432,10.0.1.43:5432/esmond?target_session_attrs=primary&connect_timeout=3",
  );
});

test("at AWS the members' profiles may use the backups' prefix, and nothing else of the bucket", () => {
  const stack = newStack();
  newSet(stack, {
    platform: newAws(stack),
    members: { "pg-1": { zone: "a" }, "pg-2": { zone: "b" }, "pg-3": { zone: "a" } },
    backups: Backups.s3("s3://archive-backups/postgres/"),
  });
  const template = Template.synth(stack).hasNoErrors();
  const conf = template.file("pg-1", "/etc/pgbackrest/pgbackrest.conf");
  expect(conf).toMatch(/^repo1-path=\/postgres$/m);
  expect(conf).toMatch(/^repo1-s3-key-type=auto$/m);
  expect(conf).not.toMatch(/uri-style|s3-key=|cipher/);
  const policies = JSON.stringify(template.json);
  expect(policies).toContain("archive-backups/postgres/*");
  expect(policies).not.toContain("archive-backups/*");
});

test("a machine of the platform takes backups by SSH: it lets the members in, who know its key", () => {
  const stack = newStack();
  const platform = setHosts(stack);
  const keeper = platform.host("pg-7");
  const privateKey = Secret.variable(stack, "repository-key");
  const to = (path: string): Backups =>
    Backups.ssh(keeper, path, { privateKey, hostKey: `${HOST_KEY}\n`, user: "keeper", port: 2222 });
  newSet(stack, { platform, backups: to("/srv/new"), recovery: { from: to("/srv/old"), set: "old" } });
  const template = Template.synth(stack).hasNoErrors();
  const conf = template.file("pg-1", "/etc/pgbackrest/pgbackrest.conf");
  const lines = conf.split("\n").filter((line) => /^(repo1-(type|path|host)|cmd-ssh)/.test(line));
  expect(lines).toEqual([
    "repo1-type=posix",
    "repo1-path=/srv/new",
    "repo1-host=10.0.1.47",
    "repo1-host-user=keeper",
    "repo1-host-config=/dev/null",
    "cmd-ssh=/usr/local/lib/cdktf-ha/postgres/repository-ssh",
  ]);
  expect(template.file("pg-1", "/etc/pgbackrest/recovery.conf")).toContain("postgres/recovery-ssh\n");
  for (const use of ["repository", "recovery"]) {
    const directory = `/etc/pgbackrest/${use}-ssh`;
    expect(template.file("pg-1", `${directory}/known_hosts`)).toBe(`repository ${HOST_KEY}\n`);
    const config = template.file("pg-1", `${directory}/config`);
    expect(config).toContain(`  UserKnownHostsFile ${directory}/known_hosts\n`);
    expect(config).toContain("  StrictHostKeyChecking yes\n");
    expect(config).toContain("  Port 2222\n");
  }
  expect(() => template.file("pg-7", "/etc/pgbackrest/pgbackrest.conf")).toThrow();
  const firewall = template.file("pg-7", "/etc/cdktf-ha/firewall.nft");
  for (const member of ["10.0.1.41", "10.0.1.42", "10.0.1.43"])
    expect(firewall).toMatch(
      new RegExp(`${member.replaceAll(".", "\\.")}.*dport 2222|dport 2222.*${member}`),
    );
  expect(JSON.stringify(template.json)).not.toContain("StrictHostKeyChecking no");
});

test("a host that takes backups changes its key while both are known", () => {
  const stack = newStack();
  const other = HOST_KEY.replace("AAAAIFdL", "AAAAIGdM");
  newSet(stack, {
    backups: Backups.ssh("backup.example.net", "/srv/backups", {
      privateKey: Secret.variable(stack, "repository-key"),
      hostKey: [HOST_KEY, other],
    }),
  });
  const template = Template.synth(stack).hasNoErrors();
  expect(template.file("pg-1", "/etc/pgbackrest/repository-ssh/known_hosts")).toBe(
    `repository ${HOST_KEY}\nrepository ${other}\n`,
  );
  expect(template.file("pg-1", "/etc/pgbackrest/repository-ssh/config")).toContain("  Port 22\n");
  expect(template.file("pg-1", "/etc/patroni/cdktf-ha/archive")).toBe(
    "pgbackrest@backup.example.net:/srv/backups\n",
  );
});

const ARCHIVE = "/usr/local/lib/cdktf-ha/postgres/pgbackrest-archive";

test("a bucket of the same stack, and backups that are only begun from: read, and no more", () => {
  const stack = newStack();
  const bucket = new TerraformVariable(stack, "bucket", { type: "string" }).stringValue;
  newSet(stack, {
    platform: newAws(stack),
    members: { "pg-1": { zone: "a" } },
    recovery: { from: Backups.s3(`s3://${bucket}/postgres`), set: "old" },
  });
  const template = Template.synth(stack).hasNoErrors();
  expect(template.file("pg-1", "/etc/pgbackrest/recovery.conf")).toMatch(/^repo1-s3-bucket=\$\{/m);
  const json = JSON.stringify(template.json);
  expect(json).toContain("/postgres/*");
  expect(json).not.toContain("s3:PutObject");
});

test("a set begins to archive into nothing, and hears of the repository when that knows the set", () => {
  const stack = newStack();
  newSet(stack, { backups: Backups.directory("/mnt/backups", { restoreTest: "never" }) });
  const template = Template.synth(stack).hasNoErrors();
  const file = (name: string): string => template.file("pg-1", `/etc/patroni/cdktf-ha/${name}`);
  expect(file("50-member.yml")).toContain('"archive_command": "/bin/true"');
  expect(file("50-member.yml")).not.toContain("restore_command");
  const { postgresql } = JSON.parse(file("settings.json")) as { postgresql: Record<string, unknown> };
  expect(postgresql).toMatchObject({
    parameters: { archive_mode: "on", archive_command: `${ARCHIVE} push metadata "%p"` },
    recovery_conf: { restore_command: `${ARCHIVE} get metadata %f "%p"` },
  });
  expect(() => template.file("pg-1", "/etc/systemd/system/postgres-restore-test.timer")).toThrow();
});

describe("poolers", () => {
  const demand = {
    members: 3,
    databases: { app: ["a", "b"], reader: ["a"], idle: [] },
    connectionLimits: {},
    maxConnections: undefined,
  };

  test("fill up what the primary has, and no more", () => {
    expect(poolsOf(demand)).toBe(9);
    // (100 - 20) / 9
    expect(poolerModel({}, demand).defaultPoolSize).toBe(8);
    expect(largestPool(demand, LEAST_FREE)).toBe(10);
    expect(poolerModel({}, { ...demand, maxConnections: "500" }).defaultPoolSize).toBe(20);
    // 12 connections over 3 members * 2 databases
    expect(poolerModel({}, { ...demand, connectionLimits: { app: 12 } }).defaultPoolSize).toBe(2);
  });

  const pooled = (tls?: PostgresTls): { template: Template; set: PostgresReplicaSet } => {
    const stack = newStack();
    const set = newSet(stack, {
      tls,
      databases: [{ name: "a", owner: "a" }],
      roles: [
        { name: "a", password: Secret.variable(stack, "a") },
        { name: "b", password: Secret.variable(stack, "b") },
      ],
      pooler: {},
    });
    set.pooled.allowFrom(Peer.cidr("10.0.7.0/24"));
    return { set, template: Template.synth(stack).hasNoErrors() };
  };

  test("are on every member, open to each other and to those who were let in, and log in as those", () => {
    const { template } = pooled();
    for (const member of ["pg-1", "pg-2", "pg-3"]) {
      expect(template.file(member, "/etc/cdktf-ha/firewall.nft")).toMatch(
        / 10\.0\.7\.0\/24 } tcp dport 6432 /,
      );
      expect(template.file(member, "/etc/patroni/cdktf-ha/20-access.yml")).toContain(
        "host a a 10.0.1.41/32 scram-sha-256",
      );
      expect(template.file(member, "/etc/patroni/cdktf-ha/20-access.yml")).not.toContain("10.0.7.0");
    }
    const hba = template.file("pg-1", "/etc/pgbouncer/cdktf-ha/hba.conf");
    expect(hba.split("\n").filter((line) => line.startsWith("host"))).toEqual([
      "host pgbouncer cdktf_ha_switch 10.0.1.41/32 scram-sha-256",
      "host pgbouncer cdktf_ha_switch 10.0.1.42/32 scram-sha-256",
      "host pgbouncer cdktf_ha_switch 10.0.1.43/32 scram-sha-256",
      "host a a 10.0.7.0/24 scram-sha-256",
    ]);
    // who has no database has no password there
    expect(template.file("pg-1", "/etc/pgbouncer/cdktf-ha/pooler.json")).toBe(
      '{"databases":["a"],"roles":["a"]}\n',
    );
  });

  test("speak TLS as the set does", () => {
    const words = (props: Partial<PostgresTlsProps>): string[] => {
      const tls = PostgresTls.authority(Secret.variable(newStack(), "authority"), {
        trusted: [CERTIFICATE],
        ...props,
      });
      return renderPgbouncerIni({ ...poolerModel({}, demand), addresses: ["10.0.1.41"], tls })
        .split("\n")
        .filter((line) => line.includes("sslmode"));
    };
    expect(words({})).toEqual(["client_tls_sslmode = require", "server_tls_sslmode = verify-ca"]);
    expect(words({ client: "optional" })).toEqual([
      "client_tls_sslmode = prefer",
      "server_tls_sslmode = prefer",
    ]);
    expect(words({ clientCertificates: true })[0]).toBe("client_tls_sslmode = verify-ca");
    expect(renderPgbouncerIni({ ...poolerModel({}, demand), addresses: ["10.0.1.41"] })).not.toContain("tls");
  });

  test("are asked whether they live, and not who leads: a role that changes takes none of them out", () => {
    const { set } = pooled();
    const { servers, mode, check } = set.pooled.balanceTarget();
    expect(servers.map(({ port }) => port)).toEqual([6432, 6432, 6432]);
    expect([mode, check!.model.port]).toEqual(["tcp", undefined]);
    expect(check!.model.lines.join()).not.toContain("http");
  });
});
