import { execFileSync } from "node:child_process";
import { mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import {
  Peer,
  PostgresPackages,
  PostgresReplicaSet,
  PostgresVersion,
  type PostgresReplicaSetProps,
} from "cdktf-ha-clusters";
import type { Lab } from "../../machines/lab";
import { waitUntil } from "../../machines/run";
import { Deployment } from "../support/deployment";
import { awaitMembers, PASSWORDS, replicaSet, WRITES, type SetProps } from "./support/replica-set";
import { figure } from "./support/ring-site";
import { ADDRESSES, startSite, type Name } from "./support/site";
import { localSql, psql } from "./support/sql-client";

/**
 * A server that somebody runs by itself becomes a set, without a copy and without a lost row; the set goes over to Patroni 4 of a repository
 * with a mirror of the site's own; and its data goes over to another set, by the program for another major version.
 */
const MIRROR = "10.77.0.91";
const PATRONI = "4.1.5";
const MEMBERS = ["db-1", "db-2"] as const;
let lab: Lab;
let deployment: Deployment;
let keys: string;

const setOf = (props: Partial<PostgresReplicaSetProps> = {}, also?: SetProps["also"]): Deployment =>
  deployment.changed(
    replicaSet(lab, {
      alone: true,
      members: MEMBERS,
      takeOver: { member: "db-1" },
      synchronous: "on", // of two members it is nobody's default
      databases: [{ name: "numbers", owner: "app", extensions: ["intagg"] }],
      clients: ["client", "db-3"].map((name) => Peer.cidr(ADDRESSES[name as Name])),
      ...props,
      also,
    }),
    PASSWORDS,
  );
const local = (name: string, statement: string, database?: string): Promise<string> =>
  localSql(lab.machine(name), statement, { database });
const pgdg = (version: PostgresVersion, signedBy = keys): PostgresPackages =>
  PostgresPackages.pgdg(version, { mirror: `http://${MIRROR}`, keys: signedBy });

beforeAll(async () => {
  lab = await startSite([...MEMBERS, "db-3", "client"], "tests");
  const layer = join(lab.directory, "mirror");
  const served = join(layer, "srv/mirror");
  mkdirSync(served, { recursive: true });
  execFileSync(join(__dirname, "support/postgres/apt-repository.sh"), [served]);
  keys = readFileSync(join(served, "KEYS"), "utf8");
  const mirror = await lab.add("mirror", { address: `${MIRROR}/24`, layers: [layer] });
  await mirror.ssh("systemd-run --quiet --unit=mirror python3 -m http.server --directory /srv/mirror 80");
  await lab.machine("db-1").ssh(`set -e; cd /
    pg_createcluster 15 main --start -- --auth-local=peer --auth-host=scram-sha-256 >/dev/null
    runuser --user postgres -- psql --quiet <<'END'
      create role app login password 'of-before';
      create database numbers owner app;
      alter system set work_mem = '7MB';
      \\connect numbers
      set role app;
      create table old as select generate_series(1, 1000) as n;
      create table numbers (n int);
END`);
  deployment = new Deployment(`${lab.directory}/deployment`, () => undefined, PASSWORDS);
}, 360_000);
afterAll(() => lab.stop());

test("what does not fit is refused, and the server goes on", async () => {
  const before = await local("db-1", "select pg_postmaster_start_time()");
  const other = await setOf({ takeOver: { member: "db-1", cluster: "archive" } }).apply();
  expect(other.ok).toBe(false);
  expect(other.output).toContain(
    "there is no PostgreSQL 15/archive to take over on this machine; there is: 15/main",
  );
  // without a word of taking over nobody's tables are touched
  const silent = await setOf({ takeOver: undefined }).apply();
  expect(silent.ok).toBe(false);
  expect(silent.output).toContain("PostgreSQL 15/main on port 5432 holds databases or tables");
  expect(await local("db-1", "select pg_postmaster_start_time()")).toBe(before);
}, 400_000);

test("it becomes the first member with what it holds, the second one is a copy of it", async () => {
  const { seconds } = await setOf().deploy();
  figure(`a server is taken over, and gets a replica: ${seconds.toFixed(0)} s`);
  expect(await awaitMembers(lab.machine("db-1"), 2)).toEqual({ leader: "db-1", standby: "db-2" });
  for (const name of MEMBERS) expect(await local(name, "select sum(n) from old")).toBe("500500");
  const { stdout } = await lab
    .machine("db-1")
    .ssh("pg_lsclusters --no-header | grep -c online; cat /etc/postgresql/15/main/start.conf", {
      allowFailure: true,
    });
  expect(stdout).toMatch(/^0\n[^]*^disabled$/m);
  // parameters are the code's
  expect(await local("db-1", "show work_mem")).toBe("4MB");
  // and so are passwords
  const client = { ...WRITES, host: ADDRESSES["db-1"] };
  expect(await psql(lab.machine("client"), client, "select sum(n) from old")).toBe("500500");
  expect(await setOf().isUpToDate()).toBe(true);
}, 800_000);

test("over to Patroni 4 from a mirror of the repository: one member at a time, by one switchover", async () => {
  const otherKey = readFileSync(join(lab.directory, "mirror/srv/mirror/OTHER"), "utf8");
  const forged = await setOf({ packages: pgdg(PostgresVersion.V15, otherKey) }).apply();
  expect(forged.ok).toBe(false);
  expect(forged.output).toMatch(/NO_PUBKEY[^]*could not be read/);
  const absent = await setOf({ packages: pgdg(PostgresVersion.V17) }).apply();
  expect(absent.ok).toBe(false);
  expect(absent.output).toContain("no postgresql-17");
  await local("db-1", "insert into numbers values (1)");
  const { seconds } = await setOf({ packages: pgdg(PostgresVersion.V15) }).deploy();
  figure(`from Patroni 3.0.2 to ${PATRONI}: ${seconds.toFixed(0)} s`);
  for (const name of MEMBERS) {
    expect((await lab.machine(name).ssh("patroni --version")).stdout).toContain(PATRONI);
    expect(await runningPatroni(name)).toBe(PATRONI);
    // in its turn, and not by its package
    const stops = "journalctl --unit=patroni --output=cat --no-pager | grep -c '^Stopped '";
    expect((await lab.machine(name).ssh(stops)).stdout.trim()).toBe("1");
  }
  expect(await awaitMembers(lab.machine("db-1"), 2)).toEqual({ leader: "db-2", standby: "db-1" });
  await local("db-2", "insert into numbers values (2)");
  await lab
    .machine("db-2")
    .ssh("/usr/local/lib/cdktf-ha/postgres/member switchover", { timeoutSeconds: 120 });
  expect(await awaitMembers(lab.machine("db-1"), 2)).toEqual({ leader: "db-1", standby: "db-2" });
  await local("db-1", "insert into numbers values (3)");
  let rows = "";
  await waitUntil(
    async () =>
      (rows = await local("db-2", "select string_agg(n::text, ',' order by n) from numbers")) === "1,2,3",
    30,
    () => `db-2 has ${rows}`,
  );
  expect(await setOf({ packages: pgdg(PostgresVersion.V15) }).isUpToDate()).toBe(true);
}, 1_200_000);

test("another major version is refused: the data stays what it is", async () => {
  const other = await setOf({ packages: pgdg(PostgresVersion.V16) }).apply();
  expect(other.ok).toBe(false);
  expect(other.output).toContain(
    "this member's data is of another major version, /var/lib/postgresql/15/cdktf-ha",
  );
  expect(await awaitMembers(lab.machine("db-1"), 2)).toMatchObject({ leader: "db-1" });
}, 400_000);

test("a parameter that is read at the start only, with Patroni 4", async () => {
  await setOf({ packages: pgdg(PostgresVersion.V15), parameters: { max_connections: 120 } }).deploy();
  for (const name of MEMBERS) expect(await local(name, "show max_connections")).toBe("120");
}, 600_000);

test("what a database holds goes over to a set of another major version, tried first; the old one takes no writes from then on", async () => {
  const packages = pgdg(PostgresVersion.V15);
  await setOf({ packages, parameters: { max_connections: 120 } }, (stack, rack, db) => {
    const { databases, roles } = db.props;
    new PostgresReplicaSet(stack, "next", {
      platform: rack,
      members: ["db-3"],
      memberPassword: db.memberPassword,
      memoryMiB: 256,
      packages: pgdg(PostgresVersion.V16),
      databases,
      roles,
    });
  }).deploy();
  const next = lab.machine("db-3");
  expect(await local("db-3", "show server_version")).toBe("16.2");
  const program = `/usr/local/lib/cdktf-ha/postgres/move-in numbers ${ADDRESSES["db-1"]} 5432`;
  const input = `${PASSWORDS["numbers-password"]}\n`;
  const sum = "select (select sum(n) from old) || ' ' || (select count(*) from numbers)";
  const tried = await next.ssh(`${program} try`, { input, timeoutSeconds: 120 });
  expect(tried.stdout).toContain("tried: nothing has changed here or there");
  expect(await local("db-3", "select count(*) from pg_class where relname = 'old'")).toBe("0");
  await local("db-1", "insert into numbers values (4)");
  // a session that nobody of the database's owner may end: given up, and the old one takes writes
  await lab
    .machine("db-1")
    .ssh(
      "systemd-run --quiet --unit=session --uid=postgres --working-directory=/ psql -X --dbname numbers --command 'select pg_sleep(600)'",
    );
  const session = "from pg_stat_activity where query = 'select pg_sleep(600)'";
  await waitUntil(
    async () => (await local("db-1", `select count(*) ${session}`)) === "1",
    60,
    () => "no session",
    300,
  );
  await expect(next.ssh(program, { input, timeoutSeconds: 120 })).rejects.toThrow(
    "sessions of postgres are in the database",
  );
  // a server that sleeps does not see that its client has gone
  await local("db-1", `select pg_terminate_backend(pid) ${session}`);
  await local("db-1", "insert into numbers values (5)");
  const moved = await next.ssh(program, { input, timeoutSeconds: 120 });
  expect(moved.stdout).toContain("counted: 2 tables, the same there and here");
  expect(await local("db-3", sum)).toBe("500500 5");
  expect(await local("db-3", "select int_array_aggregate(n order by n) from numbers")).toBe("{1,2,3,4,5}");
  await expect(local("db-1", "insert into numbers values (6)")).rejects.toThrow("read-only transaction");
  // with the code's roles, and their rights
  const role =
    "select string_agg(tableowner, ',') || has_table_privilege('reader', 'numbers', 'select') from pg_tables where schemaname = 'public'";
  expect(await local("db-3", role)).toBe("app,apptrue");
  expect(await local("db-3", "select count(*) from pg_database where datname like 'numbers%'")).toBe("1");
}, 800_000);

/** What the Patroni that runs says, and not the package. */
async function runningPatroni(name: Name): Promise<string> {
  const { stdout } = await lab.machine(name).ssh(`curl --silent http://${ADDRESSES[name]}:8008/patroni`);
  return (JSON.parse(stdout) as { patroni: { version: string } }).patroni.version;
}
