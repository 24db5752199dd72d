import { setTimeout as delay } from "node:timers/promises";
import { PostgresTls, Secret, type PostgresAuthorityProps } from "cdktf-ha-clusters";
import type { TerraformStack } from "cdktf";
import type { Lab } from "../../machines/lab";
import { Deployment } from "../support/deployment";
import { Authority } from "./support/certificates";
import { awaitServers, report } from "./support/haproxy";
import { awaitMembers, MEMBERS, PASSWORDS, replicaSet, WRITES, type SetProps } from "./support/replica-set";
import { figure } from "./support/ring-site";
import { startSite, VIP } from "./support/site";
import { localSql, psql, serverStarts, SqlClient, type Statements } from "./support/sql-client";
import { waitUntil } from "../../machines/run";

/** A live set goes from plain connections to TLS, and from one authority to the next, while an application writes. */
let lab: Lab;
let deployment: Deployment;
let old: Authority;
let next: Authority;
let leader: string;

const four = [...MEMBERS, "db-4"];

/** The set with certificates of an authority; clients come by the virtual IP, or by a name. */
async function withTls(
  by: Authority,
  version: string,
  props: PostgresAuthorityProps,
  more: SetProps = {},
): Promise<Deployment> {
  const build = (stack: TerraformStack): void => {
    const authority = Secret.variable(stack, "set-authority", { version });
    const tls = PostgresTls.authority(authority, { names: [VIP, "db.example.net"], ...props });
    replicaSet(lab, { ...more, tls })(stack);
  };
  return deployment.changed(build, { ...PASSWORDS, "set-authority": await by.bundle() }).prepare();
}

async function underWrites(what: string, action: () => Promise<unknown>): Promise<Statements> {
  await psql(lab.machine("client"), WRITES, "truncate numbers");
  const writer = new SqlClient(lab.machine("client"), "write", WRITES);
  try {
    await writer.begun();
    await action();
    await delay(1500);
  } finally {
    await writer.stop();
  }
  const writes = await writer.stop();
  report(`${what}: writes`, writes.result);
  const rows = new Set((await local(leader, "select n from numbers")).split("\n").map(Number));
  expect(writes.done.filter(({ number }) => !rows.has(number!))).toEqual([]);
  expect(writes.done.length).toBeGreaterThan(10);
  return writes;
}

const local = (name: string, statement: string): Promise<string> => localSql(lab.machine(name), statement);
const startsOf = (names: readonly string[]): Promise<string[]> =>
  serverStarts(names.map((name) => lab.machine(name)));

/** What a real psql says, with a connection string of libpq's own. */
async function connect(options: string, files: Readonly<Record<string, string>> = {}): Promise<string> {
  const put = Object.entries(files).map(
    ([path, text]) => `(umask 077; base64 -d <<<${Buffer.from(text).toString("base64")} >${path}); `,
  );
  const password = WRITES.password.replaceAll("'", "'\\''");
  const { stdout } = await lab
    .machine("client")
    .ssh(
      `${put.join("")}PGPASSWORD='${password}' psql -XAtq 'dbname=numbers user=app connect_timeout=5 ${options}' --command 'select ssl from pg_stat_ssl where pid = pg_backend_pid()' 2>&1`,
      { allowFailure: true },
    );
  return stdout.trim();
}
const VERIFIED = `host=${VIP} sslmode=verify-full sslrootcert=/root/trusted.pem`;

/** Connections of members that follow, by whether they are encrypted. */
/** Of each of so many replicas, whether it follows by TLS. One that runs may still be looking for a new primary. */
/**
 * What pg_stat_ssl says of the `count` replicas that follow, asked in one go: a replica whose way to the primary has changed comes
 * anew some seconds after the push, and `settled` waits for that.
 */
const followers = async (
  count: number,
  column: "ssl" | "client_dn" = "ssl",
  settled: (values: string[]) => boolean = () => true,
): Promise<string[]> => {
  let values: string[] = [];
  await waitUntil(
    async () => {
      const rows = await local(
        leader,
        `select ${column} from pg_stat_replication join pg_stat_ssl using (pid) where state = 'streaming' order by 1`,
      );
      values = rows === "" ? [] : rows.split("\n");
      return values.length === count && settled(values);
    },
    60,
    () => `not ${count} replicas follow ${leader} as they should: ${values.join(", ")}`,
  );
  return values;
};

const issuerOf = async (name: string, where = "-starttls postgres", port = 5432): Promise<string> => {
  const machine = lab.machine(name);
  const { stdout } = await machine.ssh(
    `openssl s_client ${where} -connect ${machine.address}:${port} </dev/null 2>/dev/null | openssl x509 -noout -issuer -serial`,
  );
  return stdout;
};

beforeAll(async () => {
  lab = await startSite(["lb-1", "lb-2", ...four, "client"] as never, "tests");
  old = await Authority.create(lab.directory, "old");
  next = await Authority.create(lab.directory, "next");
  deployment = new Deployment(`${lab.directory}/deployment`, replicaSet(lab), PASSWORDS);
  await deployment.deploy();
  ({ leader } = await awaitMembers(lab.machine("db-1"), 3));
  await awaitServers(
    ["lb-1", "lb-2"].map((name) => lab.machine(name)),
    { [`primary/${leader}`]: "UP" },
    60,
  );
  await psql(lab.machine("client"), WRITES, "create table numbers (n int)");
}, 800_000);
afterAll(() => lab.stop());

test("a set without TLS speaks plainly", async () => {
  expect(await connect(`host=${VIP} sslmode=prefer`)).toBe("f");
  expect(await followers(2)).toEqual(["f", "f"]);
});

test("members understand TLS: who wants it has it, nobody is refused, nobody restarts", async () => {
  const before = await startsOf(MEMBERS);
  const both = await withTls(old, "1", {
    trusted: [old.certificate],
    members: "optional",
    client: "optional",
  });
  const { result } = await underWrites("TLS understood", () => both.deploy());
  expect(result.failed).toEqual([]);
  expect(await startsOf(MEMBERS)).toEqual(before);
  expect(await connect(VERIFIED, { "/root/trusted.pem": old.certificate })).toBe("t");
  expect(await connect(`host=${VIP} sslmode=disable`)).toBe("f");
  expect(await both.isUpToDate()).toBe(true);
}, 600_000);

test("nothing but TLS: between members too, and nobody restarts", async () => {
  const before = await startsOf(MEMBERS);
  const required = await withTls(old, "1", { trusted: [old.certificate], rest: "none", etcd: "none" });
  const { result } = await underWrites("nothing but TLS", () => required.deploy());
  expect(result.failed).toEqual([]);
  expect(await startsOf(MEMBERS)).toEqual(before);
  ({ leader } = await awaitMembers(lab.machine("db-1"), 3, leader));
  // who follows plainly comes anew by TLS some seconds after the push
  await followers(2, "ssl", (all) => all.every((ssl) => ssl === "t"));
  const { stdout } = await lab
    .machine("db-1")
    .ssh(
      "stat --format '%U %G %a' /etc/patroni/cdktf-ha/tls/member.pem /etc/patroni/cdktf-ha/tls/authority.pem",
    );
  expect(stdout).toBe("root postgres 640\nroot root 600\n");
}, 600_000);

test("Patroni by TLS: load balancers, members and patronictl ask so, a plain question has no answer", async () => {
  const before = await startsOf(MEMBERS);
  const whole = await withTls(old, "1", { trusted: [old.certificate], etcd: "none" });
  const { result } = await underWrites("Patroni by TLS", () => whole.deploy());
  figure(`Patroni by TLS: longest gap of writes ${(result.longestGapMs / 1000).toFixed(1)} s`);
  expect(await startsOf(MEMBERS)).toEqual(before);
  ({ leader } = await awaitMembers(lab.machine("db-1"), 3, leader));
  const [asking, asked] = [lab.machine("db-1"), lab.machine("db-2").address];
  const curl = async (url: string): Promise<string> => {
    const options =
      "--silent --max-time 5 --output /dev/null --write-out '%{http_code} %{ssl_verify_result}'";
    const { stdout } = await asking.ssh(
      `curl --cacert /etc/patroni/cdktf-ha/tls/trusted.pem ${options} ${url}`,
      { allowFailure: true },
    );
    return stdout;
  };
  expect(await curl(`https://${asked}:8008/health`)).toBe("200 0");
  expect(await curl(`http://${asked}:8008/health`)).toMatch(/^000 /);
  // asks each member, by its address, with the login
  const { stdout } = await asking.ssh("patronictl -c /etc/patroni/cdktf-ha reload db --force 2>&1");
  for (const name of MEMBERS) expect(stdout).toContain(`Reload request received for member ${name}`);
  expect(await whole.isUpToDate()).toBe(true);
}, 600_000);

/** What etcd of a machine says to a question asked on another one: its status, and its answer. */
async function askEtcd(asking: string, url: string, options = ""): Promise<string> {
  const { stdout } = await lab
    .machine(asking)
    .ssh(`curl --silent --max-time 5 --write-out ' %{http_code}' ${options} ${url}`, { allowFailure: true });
  return stdout;
}
/** A member that is busy, or has just restarted, may not answer within a second of its own. */
async function untilWell(asking: string, url: string, options = ""): Promise<void> {
  let health = "";
  await waitUntil(
    async () => (health = await askEtcd(asking, `${url}/health`, options)) === '{"health":"true"} 200',
    60,
    () => `${url}: ${health}`,
  );
}
const etcdOf = (name: string, scheme = "https"): string => `${scheme}://${lab.machine(name).address}:2379`;
const TLS = "/etc/patroni/cdktf-ha/tls";
/** As the set itself comes to etcd. */
const AS_SET = `--cacert ${TLS}/etcd-trusted.pem --cert ${TLS}/etcd.pem`;
/** As a member of etcd does. */
const AS_MEMBER = "--cacert /etc/etcd/tls/trusted.pem --cert /etc/etcd/tls/member.pem";

test("etcd that lives plainly goes to TLS by way of both, not at once", async () => {
  const { ok, output } = await (await withTls(old, "1", { trusted: [old.certificate] })).apply();
  expect(ok).toBe(false);
  expect(output).toContain('apply it as "optional" first');
  expect(output).toContain("nothing was changed");
  ({ leader } = await awaitMembers(lab.machine("db-1"), 3, leader));
}, 400_000);

test("etcd takes both: members go over one by one, the primary by a switchover", async () => {
  const both = await withTls(old, "1", { trusted: [old.certificate], etcd: "optional" });
  await psql(lab.machine("client"), WRITES, "truncate numbers");
  const writer = new SqlClient(lab.machine("client"), "write", WRITES);
  try {
    await both.deploy();
  } finally {
    await writer.stop();
  }
  const { done, result } = await writer.stop();
  report("etcd takes both: writes", result);
  figure(`etcd takes both: longest gap of writes ${(result.longestGapMs / 1000).toFixed(1)} s`);
  ({ leader } = await awaitMembers(lab.machine("db-1"), 3));
  const rows = new Set((await local(leader, "select n from numbers")).split("\n").map(Number));
  expect(done.filter(({ number }) => !rows.has(number!))).toEqual([]);
  for (const name of MEMBERS) {
    await untilWell("db-1", etcdOf(name), AS_MEMBER);
    await untilWell("db-1", etcdOf(name, "http"));
  }
  // connections that are there go on, new ones are encrypted
  const { stdout } = await lab
    .machine("db-1")
    .ssh(`curl --silent ${AS_MEMBER} ${etcdOf("db-1")}/v2/members | grep --only-matching 'http[^"]*:238.'`);
  const addresses = MEMBERS.map((name) => `https://${lab.machine(name).address}:2381`);
  expect(stdout.trim().split("\n").sort()).toEqual(addresses);
  expect(await both.isUpToDate()).toBe(true);
}, 800_000);

test("nothing but TLS to etcd and between its members: no write is lost, nobody restarts", async () => {
  const before = await startsOf(MEMBERS);
  const required = await withTls(old, "1", { trusted: [old.certificate] });
  const { result } = await underWrites("etcd by TLS", () => required.deploy());
  expect(result.failed).toEqual([]);
  expect(await startsOf(MEMBERS)).toEqual(before);
  ({ leader } = await awaitMembers(lab.machine("db-1"), 3, leader));
  expect(await required.isUpToDate()).toBe(true);
}, 800_000);

test("a stranger gets nothing from etcd, the set writes what is its own only, and members no machine of a stranger's", async () => {
  const stranger = await Authority.create(lab.directory, "nobody");
  const { bundle } = await stranger.issue("db");
  const machine = lab.machine("db-1");
  await machine.ssh(`umask 077; base64 -d <<<${Buffer.from(bundle).toString("base64")} >/root/stranger.pem`);
  const trusting = `--cacert ${TLS}/etcd-trusted.pem`;
  for (const [scheme, options] of [
    ["http", ""],
    ["https", trusting],
    ["https", `${trusting} --cert /root/stranger.pem`],
  ] as const) {
    for (const path of ["/health", "/v2/keys/service/db/leader", "/v2/machines", "/metrics"]) {
      const answer = await askEtcd("db-1", etcdOf("db-2", scheme) + path, options);
      expect([scheme, options, path, answer.replace(/^Client sent an HTTP request.*\n/, "")]).toEqual([
        scheme,
        options,
        path,
        expect.stringMatching(/^ (000|400)$/),
      ]);
    }
    // a member that speaks plainly, or is of somebody else's, does not reach its raft
    const peer = etcdOf("db-2", scheme).replace("2379", "2381");
    expect(await askEtcd("db-1", `${peer}/members`, options)).toMatch(/ (000|400)$/);
  }
  // 2380 is nobody's now
  expect(await askEtcd("db-1", etcdOf("db-2", "http").replace("2379", "2380"))).toBe(" 000");

  const put = (key: string): Promise<string> =>
    askEtcd("db-3", `${etcdOf("db-2")}/v2/keys${key}`, `${AS_SET} --request PUT --data value=x`);
  expect(await put("/service/db/test")).toMatch(/"action":"set".* 201$/s);
  for (const key of ["/service/db2/leader", "/service/other/leader", "/service/db", "/test"]) {
    expect(await put(key)).toMatch(/Insufficient credentials.* 401$/s);
  }
  expect(
    await askEtcd("db-3", `${etcdOf("db-2")}/v2/keys/service/db/test`, `${AS_SET} --request DELETE`),
  ).toMatch(/ 200$/);
  const { stdout } = await lab.machine("db-3").ssh(
    `export ETCDCTL_API=3
ctl() { etcdctl --endpoints ${etcdOf("db-2")} --cacert ${TLS}/etcd-trusted.pem --cert ${TLS}/etcd.pem --key ${TLS}/etcd.pem "$@" 2>&1 || true; }
ctl put a b; ctl member add evil --learner --peer-urls=http://10.77.0.99:2380; ctl auth disable; ctl user list
stat --format '%U %G %a' ${TLS}/etcd.pem /etc/etcd/tls/member.pem /etc/etcd/tls/authority.pem`,
  );
  expect(stdout.match(/^Error: .*$/gm)).toHaveLength(4);
  expect(stdout).not.toContain("OK");
  expect(stdout).toContain("root postgres 640\nroot etcd 640\nroot root 600\n");
});

/** Members log in at each other by nothing but their certificates. */
const BY_CERTIFICATE = { memberAuthentication: "certificate" } as const;

test("members log in by their certificates alone: nobody restarts, and neither the password nor another certificate gets in", async () => {
  const before = await startsOf(MEMBERS);
  const certified = await withTls(old, "1", { trusted: [old.certificate], ...BY_CERTIFICATE });
  const { result } = await underWrites("by certificate", () => certified.deploy());
  expect(result.failed).toEqual([]);
  expect(await startsOf(MEMBERS)).toEqual(before);
  ({ leader } = await awaitMembers(lab.machine("db-1"), 3, leader));
  const names = MEMBERS.filter((name) => name !== leader).map((name) => `/O=db/CN=${name}`);
  await followers(2, "client_dn", (seen) => seen.join() === names.join());
  // from a member's machine, which pg_hba.conf lets in
  const machine = lab.machine(MEMBERS.find((name) => name !== leader)!);
  const { bundle } = await old.issue("app");
  await machine.ssh(`umask 077; base64 -d <<<${Buffer.from(bundle).toString("base64")} >/root/app.pem`);
  const login = async (options: string): Promise<string> => {
    const where = `host=${lab.machine(leader).address} sslmode=verify-ca sslrootcert=${TLS}/trusted.pem dbname=postgres`;
    const { stdout } = await machine.ssh(
      `PGPASSWORD=$(cat /etc/patroni/cdktf-ha/member-password) psql -XAtq '${where} ${options}' --command 'select 1' 2>&1`,
      { allowFailure: true },
    );
    return stdout.trim();
  };
  const shown = (path: string): string => `sslcert=${path} sslkey=${path}`;
  expect(await login(`user=rewind ${shown(`${TLS}/member.pem`)}`)).toBe("1");
  expect(await login(`user=rewind ${shown("/root/app.pem")}`)).toContain("certificate authentication failed");
  expect(await login(`user=postgres ${shown(`${TLS}/member.pem`)}`)).toContain("no pg_hba.conf entry");
  expect(await login("user=rewind")).toContain("requires a valid client certificate");
  expect(await certified.isUpToDate()).toBe(true);
}, 600_000);

test("the primary's power is cut: another one leads, by what etcd and its members say by TLS", async () => {
  const lost = leader;
  await lab.machine(lost).cutPower();
  const asked = MEMBERS.find((name) => name !== lost)!;
  ({ leader } = await awaitMembers(lab.machine(asked), 2));
  expect(leader).not.toBe(lost);
  await lab.machine(lost).powerOn();
  ({ leader } = await awaitMembers(lab.machine("db-1"), 3, leader));
  // the members do with the two others
  await untilWell(asked, etcdOf(lost), AS_MEMBER);
}, 400_000);

test("a psql that verifies comes in; a plain one does not, nor one that trusts others or looks for another name", async () => {
  const stranger = await Authority.create(lab.directory, "stranger");
  expect(await connect(VERIFIED)).toBe("t");
  expect(await connect(VERIFIED.replace("host=", "host=db.example.net hostaddr="))).toBe("t");
  expect(await connect(`host=${VIP} sslmode=disable`)).toMatch(/no pg_hba.conf entry .*no encryption/);
  expect(
    await connect(VERIFIED.replace("trusted", "stranger"), { "/root/stranger.pem": stranger.certificate }),
  ).toContain("certificate verify failed");
  expect(await connect(VERIFIED.replace("host=", "host=other.example.net hostaddr="))).toContain(
    'does not match host name "other.example.net"',
  );
});

test("a fourth member copies by TLS, leads, and is followed by TLS", async () => {
  const larger = await withTls(
    old,
    "1",
    { trusted: [old.certificate], ...BY_CERTIFICATE },
    { members: four },
  );
  const { result } = await underWrites("a fourth member", () => larger.deploy());
  expect(result.failed).toEqual([]);
  ({ leader } = await awaitMembers(lab.machine("db-1"), 4, leader));
  expect(await followers(3)).toEqual(["t", "t", "t"]);
  await lab
    .machine(leader)
    .ssh("/usr/local/lib/cdktf-ha/postgres/member switchover", { timeoutSeconds: 120 });
  ({ leader } = await awaitMembers(lab.machine("db-1"), 4));
  expect(await followers(3)).toEqual(["t", "t", "t"]);
}, 800_000);

test("another authority: trusted first, then in use, then the old one is dropped; nobody restarts or is refused", async () => {
  const before = await startsOf(four);
  const both = [old.certificate, next.certificate];
  const steps = [
    await withTls(old, "1", { trusted: both, ...BY_CERTIFICATE }, { members: four }),
    () => withTls(next, "2", { trusted: both, ...BY_CERTIFICATE }, { members: four }),
    () => withTls(next, "2", { trusted: [next.certificate], ...BY_CERTIFICATE }, { members: four }),
  ];
  for (const step of steps) {
    const changed = typeof step === "function" ? await step() : step;
    const { result } = await underWrites("another authority", () => changed.deploy());
    expect(result.failed).toEqual([]);
  }
  for (const name of four) expect(await issuerOf(name)).toMatch(/issuer=.*next/);
  for (const name of MEMBERS) {
    for (const port of [2379, 2381]) expect(await issuerOf(name, "", port)).toMatch(/issuer=.*next/);
  }
  expect(await connect(VERIFIED)).toContain("certificate verify failed");
  expect(await connect(VERIFIED, { "/root/trusted.pem": next.certificate })).toBe("t");
  expect(await startsOf(four)).toEqual(before);
  ({ leader } = await awaitMembers(lab.machine("db-1"), 4, leader));
}, 800_000);

test("the timer changes nothing before its time, and then the certificate without a restart", async () => {
  const [before, [start]] = [await issuerOf(leader), await startsOf([leader])];
  const machine = lab.machine(leader);
  await machine.ssh("systemctl is-active --quiet postgres-certificate.timer");
  await machine.ssh("systemctl start postgres-certificate.service");
  expect(await issuerOf(leader)).toBe(before);
  const [member, etcd] = [lab.machine("db-1"), await issuerOf("db-1", "", 2379)];
  await member.ssh(
    "systemctl is-active --quiet etcd-certificate.timer; systemctl start etcd-certificate.service",
  );
  expect(await issuerOf("db-1", "", 2379)).toBe(etcd);
  // as if it were for another name: the running etcd shows the new one with the next connection
  await member.ssh("rm /etc/etcd/tls/member.pem.made-of; systemctl start etcd-certificate.service");
  expect(await issuerOf("db-1", "", 2379)).toMatch(/issuer=.*next/);
  expect(await issuerOf("db-1", "", 2379)).not.toBe(etcd);
  // one that ends within the month, by the same authority
  await machine.ssh(`set -e; cd /etc/patroni/cdktf-ha/tls; umask 077
openssl req -new -key member.pem -subj /CN=short -out /root/request.pem
openssl x509 -req -in /root/request.pem -days 20 -CA authority.pem -CAkey authority.pem -set_serial 77 -out /root/short.pem 2>/dev/null
openssl pkey -in member.pem >>/root/short.pem
cat /root/short.pem >member.pem`);
  await machine.ssh("systemctl start postgres-certificate.service");
  const after = await issuerOf(leader);
  expect(after).toMatch(/issuer=.*next/);
  expect(after).not.toBe(before);
  expect(after).not.toMatch(/serial=(4D|77)\n/);
  expect(await startsOf([leader])).toEqual([start]);
});

test("an authority that nobody trusts is refused before anything is touched", async () => {
  const before = await issuerOf("db-1");
  const wrong = await withTls(old, "3", { trusted: [next.certificate] }, { members: four });
  const { ok, output } = await wrong.apply();
  expect(ok).toBe(false);
  expect(output).toContain("is of no authority in 'trusted'");
  expect(output).toContain("nothing was changed");
  expect(await issuerOf("db-1")).toBe(before);
}, 400_000);

test("certificates of one's own: taken up without a restart, and refused where they are for another address", async () => {
  const before = await startsOf(four);
  const issued = new Map<string, string>();
  for (const name of four) issued.set(name, await issuerOf(name));
  const trusted = { trusted: [next.certificate], ...BY_CERTIFICATE };
  const given = async (
    addressOf: (name: string) => string,
    nameOf = (name: string): string => name,
  ): Promise<Deployment> => {
    const variables: Record<string, string> = { "set-pem": (await next.issue("db")).bundle };
    for (const name of four) {
      variables[`${name}-pem`] = (await next.issue(nameOf(name), addressOf(name), VIP)).bundle;
    }
    const build = (stack: TerraformStack): void => {
      const certificates = Object.fromEntries(
        four.map((name) => [
          name,
          Secret.variable(stack, `${name}-pem`, { version: addressOf(name) + nameOf(name) }),
        ]),
      );
      const etcdCertificate = Secret.variable(stack, "set-pem");
      replicaSet(lab, { members: four, tls: PostgresTls.given(certificates, trusted), etcdCertificate })(
        stack,
      );
    };
    return deployment.changed(build, { ...PASSWORDS, ...variables }).prepare();
  };
  const { ok, output } = await (await given(() => "10.77.0.99")).apply();
  expect([ok, output.includes("is not for its address")]).toEqual([false, true]);
  // etcd is not there, which would say so itself
  const elsewhere = await (
    await given(
      (name) => lab.machine(name).address,
      (name) => (name === "db-4" ? "db-5" : name),
    )
  ).apply();
  expect([elsewhere.ok, elsewhere.output.includes("is in the name of 'db-5'")]).toEqual([false, true]);
  const own = await given((name) => lab.machine(name).address);
  const { result } = await underWrites("certificates of one's own", () => own.deploy());
  expect(result.failed).toEqual([]);
  expect(await connect(VERIFIED, { "/root/trusted.pem": next.certificate })).toBe("t");
  for (const name of four) expect(await issuerOf(name)).not.toBe(issued.get(name));
  expect(await startsOf(four)).toEqual(before);
  ({ leader } = await awaitMembers(lab.machine("db-1"), 4, leader));
}, 800_000);

test("with certificates of clients, a password alone is not enough", async () => {
  const both = { trusted: [next.certificate], clientCertificates: true };
  await (await withTls(next, "4", both, { members: four })).deploy();
  expect(await connect(VERIFIED)).toContain("connection requires a valid client certificate");
  const { certificate, key } = await next.issue("app");
  const shown = `${VERIFIED} sslcert=/root/app.pem sslkey=/root/app.key`;
  expect(await connect(shown, { "/root/app.pem": certificate, "/root/app.key": key })).toBe("t");
}, 400_000);
