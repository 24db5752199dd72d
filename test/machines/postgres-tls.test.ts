import { setTimeout as delay } from "node:timers/promises";
import { PostgresTls, Secret, type PostgresAuthorityProps } from "cdktf-ha-clusters";
import type { TerraformStack } from "cdktf";
import type { Lab } from "../../machines/lab";
import { Deployment } from "../support/deployment";
import { Authority } from "./support/certificates";
import { report } from "./support/haproxy";
import { awaitMembers, MEMBERS, PASSWORDS, replicaSet, WRITES, type SetProps } from "./support/replica-set";
import { figure } from "./support/ring-site";
import { startSite, VIP } from "./support/site";
import { localSql, psql, serverStarts, SqlClient, type Statements } from "./support/sql-client";

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
    await delay(1500);
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
const followers = async (): Promise<string[]> =>
  (await local(leader, "select ssl from pg_stat_replication join pg_stat_ssl using (pid)")).split("\n");

const issuerOf = async (name: string): Promise<string> => {
  const machine = lab.machine(name);
  const { stdout } = await machine.ssh(
    `openssl s_client -starttls postgres -connect ${machine.address}:5432 </dev/null 2>/dev/null | openssl x509 -noout -issuer -serial`,
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
  await psql(lab.machine("client"), WRITES, "create table numbers (n int)");
}, 400_000);
afterAll(() => lab.stop());

test("a set without TLS speaks plainly", async () => {
  expect(await connect(`host=${VIP} sslmode=prefer`)).toBe("f");
  expect(await followers()).toEqual(["f", "f"]);
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
}, 300_000);

test("nothing but TLS: between members too, and nobody restarts", async () => {
  const before = await startsOf(MEMBERS);
  const required = await withTls(old, "1", { trusted: [old.certificate], rest: "none" });
  const { result } = await underWrites("nothing but TLS", () => required.deploy());
  expect(result.failed).toEqual([]);
  expect(await startsOf(MEMBERS)).toEqual(before);
  ({ leader } = await awaitMembers(lab.machine("db-1"), 3, leader));
  expect(await followers()).toEqual(["t", "t"]);
  const { stdout } = await lab
    .machine("db-1")
    .ssh(
      "stat --format '%U %G %a' /etc/patroni/cdktf-ha/tls/member.pem /etc/patroni/cdktf-ha/tls/authority.pem",
    );
  expect(stdout).toBe("root postgres 640\nroot root 600\n");
}, 300_000);

test("Patroni by TLS: load balancers, members and patronictl ask so, a plain question has no answer", async () => {
  const before = await startsOf(MEMBERS);
  const whole = await withTls(old, "1", { trusted: [old.certificate] });
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
}, 300_000);

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
  const larger = await withTls(old, "1", { trusted: [old.certificate] }, { members: four });
  const { result } = await underWrites("a fourth member", () => larger.deploy());
  expect(result.failed).toEqual([]);
  ({ leader } = await awaitMembers(lab.machine("db-1"), 4, leader));
  expect(await followers()).toEqual(["t", "t", "t"]);
  await lab
    .machine(leader)
    .ssh("/usr/local/lib/cdktf-ha/postgres/member switchover", { timeoutSeconds: 120 });
  ({ leader } = await awaitMembers(lab.machine("db-1"), 4));
  expect(await followers()).toEqual(["t", "t", "t"]);
}, 400_000);

test("another authority: trusted first, then in use, then the old one is dropped; nobody restarts or is refused", async () => {
  const before = await startsOf(four);
  const both = [old.certificate, next.certificate];
  const steps = [
    await withTls(old, "1", { trusted: both }, { members: four }),
    () => withTls(next, "2", { trusted: both }, { members: four }),
    () => withTls(next, "2", { trusted: [next.certificate] }, { members: four }),
  ];
  for (const step of steps) {
    const changed = typeof step === "function" ? await step() : step;
    const { result } = await underWrites("another authority", () => changed.deploy());
    expect(result.failed).toEqual([]);
  }
  for (const name of four) expect(await issuerOf(name)).toMatch(/issuer=.*next/);
  expect(await connect(VERIFIED)).toContain("certificate verify failed");
  expect(await connect(VERIFIED, { "/root/trusted.pem": next.certificate })).toBe("t");
  expect(await startsOf(four)).toEqual(before);
  ({ leader } = await awaitMembers(lab.machine("db-1"), 4, leader));
}, 400_000);

test("the timer changes nothing before its time, and then the certificate without a restart", async () => {
  const [before, [start]] = [await issuerOf(leader), await startsOf([leader])];
  const machine = lab.machine(leader);
  await machine.ssh("systemctl is-active --quiet postgres-certificate.timer");
  await machine.ssh("systemctl start postgres-certificate.service");
  expect(await issuerOf(leader)).toBe(before);
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
}, 120_000);

test("an authority that nobody trusts is refused before anything is touched", async () => {
  const before = await issuerOf("db-1");
  const wrong = await withTls(old, "3", { trusted: [next.certificate] }, { members: four });
  const { ok, output } = await wrong.apply();
  expect(ok).toBe(false);
  expect(output).toContain("is of no authority in 'trusted'");
  expect(output).toContain("nothing was changed");
  expect(await issuerOf("db-1")).toBe(before);
}, 200_000);

test("certificates of one's own: taken up without a restart, and refused where they are for another address", async () => {
  const before = await startsOf(four);
  const issued = new Map<string, string>();
  for (const name of four) issued.set(name, await issuerOf(name));
  const trusted = { trusted: [next.certificate] };
  const given = async (addressOf: (name: string) => string): Promise<Deployment> => {
    const variables: Record<string, string> = {};
    for (const name of four) {
      variables[`${name}-pem`] = (await next.issue(name, addressOf(name), VIP)).bundle;
    }
    const build = (stack: TerraformStack): void => {
      const certificates = Object.fromEntries(
        four.map((name) => [name, Secret.variable(stack, `${name}-pem`, { version: addressOf(name) })]),
      );
      replicaSet(lab, { members: four, tls: PostgresTls.given(certificates, trusted) })(stack);
    };
    return deployment.changed(build, { ...PASSWORDS, ...variables }).prepare();
  };
  const { ok, output } = await (await given(() => "10.77.0.99")).apply();
  expect([ok, output.includes("is not for its address")]).toEqual([false, true]);
  const own = await given((name) => lab.machine(name).address);
  const { result } = await underWrites("certificates of one's own", () => own.deploy());
  expect(result.failed).toEqual([]);
  expect(await connect(VERIFIED, { "/root/trusted.pem": next.certificate })).toBe("t");
  for (const name of four) expect(await issuerOf(name)).not.toBe(issued.get(name));
  expect(await startsOf(four)).toEqual(before);
  ({ leader } = await awaitMembers(lab.machine("db-1"), 4, leader));
}, 400_000);

test("with certificates of clients, a password alone is not enough", async () => {
  const both = { trusted: [next.certificate], clientCertificates: true };
  await (await withTls(next, "4", both, { members: four })).deploy();
  expect(await connect(VERIFIED)).toContain("connection requires a valid client certificate");
  const { certificate, key } = await next.issue("app");
  const shown = `${VERIFIED} sslcert=/root/app.pem sslkey=/root/app.key`;
  expect(await connect(shown, { "/root/app.pem": certificate, "/root/app.key": key })).toBe("t");
}, 200_000);
