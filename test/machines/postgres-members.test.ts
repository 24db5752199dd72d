import { setTimeout as delay } from "node:timers/promises";
import { Peer, PostgresReplicaSet, type PostgresReplicaSetProps, type StandbyOf } from "cdktf-ha-clusters";
import type { Lab } from "../../machines/lab";
import { waitUntil } from "../../machines/run";
import { Deployment } from "../support/deployment";
import { Authority } from "./support/certificates";
import { awaitMembers, MEMBERS, membersOf, PASSWORDS, replicaSet } from "./support/replica-set";
import { figure } from "./support/ring-site";
import { ADDRESSES, startSite, type Name } from "./support/site";
import { localSql, serverStarts } from "./support/sql-client";

/** Members that are for something else than to take over, in a set whose roles change while it lives; and a set that follows it. */
let lab: Lab;
let deployment: Deployment;
let authority: Authority;

const setOf = (
  members: PostgresReplicaSetProps["members"],
  more: Partial<PostgresReplicaSetProps> = {},
): Deployment =>
  deployment.changed(replicaSet(lab, { alone: true, members, hugePages: true, ...more }), PASSWORDS);
const HANDED_OVER = { "db-1": {}, "db-2": {}, "db-3": { noFailover: true } };
const local = (name: string, statement: string): Promise<string> => localSql(lab.machine(name), statement);
const startsOf = (names: readonly string[]): Promise<string[]> =>
  serverStarts(names.map((name) => lab.machine(name)));
const rows = (name: string): Promise<string> => local(name, "select count(*) from numbers");
/** The address of whom a member copies. */
const sourceOf = (name: string): Promise<string> =>
  local(name, "select sender_host from pg_stat_wal_receiver where status = 'streaming'");
/** What a load balancer hears that looks for replicas. */
const asReplica = async (name: string): Promise<string> => {
  const { stdout } = await lab
    .machine(name)
    .ssh(
      `curl --silent --output /dev/null --write-out '%{http_code}' 'http://${ADDRESSES[name as Name]}:8008/replica?lag=10MB'`,
    );
  return stdout;
};
const until = (
  what: string,
  found: () => Promise<string>,
  wanted: string,
  seconds = 30,
): Promise<unknown> => {
  let last = "";
  return waitUntil(
    async () => (last = await found()) === wanted,
    seconds,
    () => `${what}: ${last}, not ${wanted}`,
    300,
  );
};

beforeAll(async () => {
  lab = await startSite([...MEMBERS, "db-4", "db-5", "db-6"], "tests");
  authority = await Authority.create(lab.directory, "authority");
  deployment = new Deployment(`${lab.directory}/deployment`, () => undefined, PASSWORDS);
});
afterAll(() => lab.stop());

test("a set whose first member by name never leads: the next one does", async () => {
  const metrics = { clients: [Peer.cidr(ADDRESSES["db-4"])] };
  const members = { "db-1": { noFailover: true }, "db-2": {}, "db-3": {} };
  const logCollector = {
    address: ADDRESSES["db-4"],
    name: "logs.example.net",
    trusted: [authority.certificate],
  };
  const { seconds } = await setOf(members, { metrics, logCollector }).deploy();
  figure(`deploy of three members: ${seconds.toFixed(0)} s`);
  expect(await awaitMembers(lab.machine("db-1"), 3)).toEqual({ leader: "db-2", standby: "db-3" });
  await local("db-2", "create table numbers (n int); insert into numbers values (1), (2)");
}, 800_000);

test("an exporter on each member tells whoever may ask, and nobody else; its role reads what the server says of itself", async () => {
  const ask = async (from: Name, name: Name): Promise<string> =>
    (
      await lab.machine(from).ssh(`curl --silent --max-time 5 http://${ADDRESSES[name]}:9187/metrics`, {
        allowFailure: true,
      })
    ).stdout;
  for (const name of MEMBERS) {
    const told = await ask("db-4", name);
    expect(told).toMatch(/^pg_up 1$/m);
    expect(told).toMatch(/^pg_exporter_last_scrape_error 0$/m);
    expect(told).toMatch(
      /^pg_stat_database_tup_inserted\{datid="\d+",datname="numbers",server="[^"]*"\} \d/m,
    );
  }
  expect(await ask("db-4", "db-2")).toMatch(/^pg_stat_replication_.*application_name="db-3"/m);
  expect(await ask("db-1", "db-2")).toBe("");
  expect(
    await local(
      "db-2",
      "select string_agg(g.rolname, ',') from pg_auth_members join pg_roles r on r.oid = member join pg_roles g on g.oid = roleid where r.rolname = 'prometheus'",
    ),
  ).toBe("pg_monitor");
  const as = (user: string, database: string): Promise<{ readonly code: number | null }> =>
    lab
      .machine("db-2")
      .ssh(
        `cd /; runuser --user ${user} -- psql -XAtq --host /var/run/postgresql --username prometheus --dbname ${database} --command 'select 1'`,
        { allowFailure: true },
      );
  expect((await as("prometheus", "postgres")).code).toBe(0);
  expect((await as("nobody", "postgres")).code).not.toBe(0);
  expect((await as("prometheus", "numbers")).code).not.toBe(0);
});

test("what members say goes to a collector that is called as it should be, and waits where none answers", async () => {
  const collector = lab.machine("db-4");
  const collected = async (): Promise<string> =>
    (await collector.ssh("cat /root/collected", { allowFailure: true })).stdout;
  const says = (words: string): Promise<unknown> =>
    lab
      .machine("db-2")
      .ssh(`logger --tag cdktf-ha-postgres '${words}'; logger --tag cron '${words}, as cron'`);
  const collect = async (name: string): Promise<void> => {
    const { bundle } = await authority.issue(name);
    await collector.ssh(
      `cd /root; systemctl stop collector 2>/dev/null; umask 077; base64 -d <<<${Buffer.from(bundle).toString("base64")} >collector.pem
base64 -d <<<${Buffer.from(authority.certificate).toString("base64")} >authority.pem
cat >collector.conf <<'X'
global(DefaultNetstreamDriver="ossl" DefaultNetstreamDriverCAFile="/root/authority.pem"
  DefaultNetstreamDriverCertFile="/root/collector.pem" DefaultNetstreamDriverKeyFile="/root/collector.pem")
module(load="imtcp" StreamDriver.Name="ossl" StreamDriver.Mode="1" StreamDriver.AuthMode="anon")
input(type="imtcp" port="6514")
action(type="omfile" file="/root/collected")
X
systemd-run --quiet --collect --unit collector rsyslogd -n -f /root/collector.conf -i /run/collector.pid`,
    );
  };
  await says("nobody is there yet");
  await collect("other.example.net");
  await says("somebody else is there");
  await delay(7000); // it tries again every five
  expect(await collected()).toBe("");
  await collect("logs.example.net");
  await says("here you are");
  await waitUntil(
    async () => {
      const lines = await collected();
      return ["nobody is there yet", "somebody else is there", "here you are"].every((words) =>
        lines.includes(`db-2 cdktf-ha-postgres ${words}`),
      );
    },
    60,
    () => "what db-2 says does not arrive",
    500,
  );
  const lines = await collected();
  expect(lines).toMatch(/ db-\d patroni.*LOG: /);
  // as systemd calls them
  const { stdout } = await lab
    .machine("db-2")
    .ssh(
      "for unit in patroni etcd; do journalctl --unit $unit --lines 1 --output json --output-fields SYSLOG_IDENTIFIER; done",
    );
  expect(stdout.match(/(?<="SYSLOG_IDENTIFIER":")[^"]+/g)).toEqual(["patroni", "etcd"]);
  expect(lines).not.toContain("as cron");
  await collector.ssh("systemctl stop collector");
});

test("as many huge pages are reserved as the server wants, and some more", async () => {
  const wanted = Number(await local("db-2", "show shared_memory_size_in_huge_pages"));
  const { stdout } = await lab.machine("db-2").ssh("cat /proc/sys/vm/nr_hugepages");
  expect(wanted).toBeGreaterThan(10);
  expect(Number(stdout)).toBeGreaterThanOrEqual(wanted);
  expect(Number(stdout)).toBeLessThan(wanted * 1.1 + 20);
});

test("other roles, and nobody restarts: one member copies another one, and shows an hour later what was deleted", async () => {
  const before = await startsOf(MEMBERS);
  const changed = setOf({ "db-1": { replicateFrom: "db-3", applyDelay: "1h" }, "db-2": {}, "db-3": {} });
  const { seconds } = await changed.deploy();
  figure(`a member becomes a delayed one: ${seconds.toFixed(0)} s`);
  expect(await startsOf(MEMBERS)).toEqual(before);
  await until("db-1 copies", () => sourceOf("db-1"), ADDRESSES["db-3"]);
  // the exporter and the collector have left the code in the same apply
  const { stdout } = await lab
    .machine("db-2")
    .ssh("ls /etc/rsyslog.d /var/spool/rsyslog | grep cdktf-ha || true");
  expect(stdout).toBe("");
  expect(await local("db-2", "select rolcanlogin from pg_roles where rolname = 'prometheus'")).toBe("f");
  for (const name of MEMBERS)
    expect((await lab.machine(name).ssh("ss -Hltn 'sport = :9187'")).stdout).toBe("");
  expect(await asReplica("db-1")).toBe("503");
  expect(await asReplica("db-3")).toBe("200");
  await local("db-2", "delete from numbers where n = 2");
  const written = await local("db-2", "select pg_current_wal_flush_lsn()");
  await until("rows of db-3", () => rows("db-3"), "1");
  await until(
    "db-1 has the log",
    () => local("db-1", `select pg_last_wal_receive_lsn() >= '${written}'`),
    "t",
  );
  expect(await rows("db-1")).toBe("2");
  expect(await changed.isUpToDate()).toBe(true);
}, 600_000);

test("the primary's power is cut: the one that may lead does, and the delayed one is well", async () => {
  await lab.machine("db-2").cutPower();
  await until(
    "leader",
    async () => {
      const found = await membersOf(lab.machine("db-3"));
      return found.find(({ role }) => role === "leader")?.name ?? "";
    },
    "db-3",
    90,
  );
  // it leads before it has been promoted
  await until("db-3 is promoted", () => local("db-3", "select pg_is_in_recovery()").catch(() => ""), "f", 60);
  expect(await local("db-3", "insert into numbers values (3) returning n")).toBe("3");
  expect(await rows("db-1")).toBe("2");
  // it asks its source for more when the hour is over, which is no reason to call it ill
  await lab.machine("db-1").ssh("/usr/local/lib/cdktf-ha/postgres/member healthy");
  await lab.machine("db-2").powerOn();
  expect(await awaitMembers(lab.machine("db-3"), 3, "db-3")).toMatchObject({ standby: "db-2" });
}, 600_000);

test("the primary itself is never to lead again: it hands over, and what was delayed is shown at once", async () => {
  const { seconds } = await setOf(HANDED_OVER).deploy();
  figure(`the primary hands over for good: ${seconds.toFixed(0)} s`);
  const { leader } = await awaitMembers(lab.machine("db-3"), 3);
  expect(leader).not.toBe("db-3");
  for (const name of MEMBERS) await until(`rows of ${name}`, () => rows(name), "2");
  const { stdout } = await lab.machine("db-1").ssh("patronictl -c /etc/patroni/cdktf-ha list");
  expect(stdout).toMatch(/db-3 .*nofailover: true/);
}, 600_000);

const upstream: StandbyOf = {
  members: Object.fromEntries(MEMBERS.map((name) => [name, ADDRESSES[name]])),
};

const COPY = ["db-4", "db-5", "db-6"] as const;

/** The set as it was left, and a second one, which follows it or leads. */
const withCopy = (standbyOf?: StandbyOf): Deployment =>
  deployment.changed(
    replicaSet(lab, {
      alone: true,
      members: HANDED_OVER,
      standbys: COPY.map((name) => Peer.cidr(ADDRESSES[name])),
      also: (stack, rack, { memberPassword, props: { roles } }) =>
        new PostgresReplicaSet(stack, "copy", {
          platform: rack,
          members: COPY,
          memberPassword,
          databases: [
            { name: "numbers", owner: "app" },
            { name: "more", owner: "app" },
          ],
          roles,
          memoryMiB: 256,
          standbyOf,
        }),
    }),
    PASSWORDS,
  );
/** Whoever of the second set copies the first one, as those who are asked say; "" where nobody does. */
async function leadingCopy(asked: readonly Name[] = COPY): Promise<(typeof COPY)[number]> {
  const found = await membersOf(lab.machine(asked[0]!));
  return found.find(({ role }) => role === "standby_leader")?.name as (typeof COPY)[number];
}
const databases = (name: string): Promise<string> =>
  local(name, "select count(*) from pg_database where datname = 'more'");

test("a second set follows the first one: what is written there is here, and nothing is made or written here", async () => {
  const following = withCopy(upstream);
  const { seconds } = await following.deploy();
  figure(`a standby set of three members: ${seconds.toFixed(0)} s`);
  const { leader } = await awaitMembers(lab.machine("db-1"), 3);
  await local(leader, "insert into numbers values (4)");
  for (const name of COPY) await until(`rows of ${name}`, () => rows(name), "3");
  // one of them copies the first set, the others that one
  const leading = await leadingCopy();
  for (const name of COPY) {
    const right: readonly string[] =
      name === leading ? Object.values(upstream.members) : [ADDRESSES[leading]];
    let source = "";
    await waitUntil(
      async () => right.includes((source = await sourceOf(name))),
      60,
      () => `${name} follows ${source}, and not ${right.join(" or ")}`,
    );
  }
  await expect(local("db-4", "insert into numbers values (5)")).rejects.toThrow("read-only transaction");
  expect(await databases("db-4")).toBe("0");
  expect(await following.isUpToDate()).toBe(true);
}, 600_000);

test("the one that follows the first set loses its power: another one of the second set follows it, and has every row", async () => {
  const lost = await leadingCopy();
  await lab.machine(lost).cutPower();
  const cut = Date.now();
  const others = COPY.filter((name) => name !== lost);
  await waitUntil(
    async () => others.includes(await leadingCopy(others)),
    60,
    () => "nobody of the second set follows the first one",
    500,
  );
  const { leader } = await awaitMembers(lab.machine("db-1"), 3);
  await local(leader, "insert into numbers values (7)");
  for (const name of others) await until(`rows of ${name}`, () => rows(name), "4", 60);
  figure(
    `a standby set whose leader is lost follows again after ${((Date.now() - cut) / 1000).toFixed(0)} s`,
  );
  await lab.machine(lost).powerOn();
  await until(`rows of ${lost}`, () => rows(lost).catch(() => ""), "4", 90);
  await local(leader, "delete from numbers where n = 7");
}, 600_000);

test("while the first set lives the second one stays what it is; when it is gone an apply makes it a primary", async () => {
  const refused = await withCopy().apply();
  expect(refused.ok).toBe(false);
  expect(refused.output).toContain("still answers at port 5432: two primaries would take writes");
  await expect(local("db-4", "insert into numbers values (5)")).rejects.toThrow("read-only transaction");
  for (const name of MEMBERS) await lab.machine(name).cutPower();
  const { seconds } = await withCopy().deploy();
  figure(`a standby set becomes a primary: ${seconds.toFixed(0)} s`);
  const { leader } = await awaitMembers(lab.machine("db-4"), 3);
  await local(leader, "insert into numbers values (5)");
  for (const name of COPY) {
    await until(`rows of ${name}`, () => rows(name), "4");
    expect(await databases(name)).toBe("1");
  }
  // and not back again: what it has would have to go
  const back = await withCopy(upstream).apply();
  expect(back.ok).toBe(false);
  expect(back.output).toContain("this set lives as a primary");
  await local(leader, "insert into numbers values (6)");
}, 600_000);
