import { readFileSync } from "node:fs";
import type { Lab, LabMachine } from "../../machines/lab";
import { portScan } from "../../machines/ports";
import { waitUntil } from "../../machines/run";
import { Deployment, type Outcome } from "../support/deployment";
import { filesThatHold } from "./support/disclosure";
import { awaitServers } from "./support/haproxy";
import {
  awaitMembers,
  MEMBERS,
  membersOf,
  notes,
  PASSWORDS,
  READS,
  replicaSet,
  WRITES,
} from "./support/replica-set";
import { figure } from "./support/ring-site";
import { ADDRESSES, roles, startSite, type Name } from "./support/site";
import { localSql, psql, underWrites as writesDuring, type Statements } from "./support/sql-client";

/** PostgreSQL whose primary moves, behind the pair, deployed and changed by the real Terraform. */
let lab: Lab;
let deployment: Deployment;
let leader: string;
let standby: string;

const nodes = (): LabMachine[] => ["lb-1", "lb-2"].map((name) => lab.machine(name));
const ask = (target: typeof WRITES, statement: string, user?: string): Promise<string> =>
  psql(lab.machine("client"), target, statement, user);

/** All members are there, and each listener leads to those that it should. */
async function settled(
  asked: string,
  names: readonly string[] = MEMBERS,
  knownLeader?: string,
): Promise<void> {
  ({ leader, standby } = await awaitMembers(lab.machine(asked), names.length, knownLeader));
  await awaitServers(
    nodes(),
    Object.fromEntries(
      names.flatMap((name) => [
        [`primary/${name}`, name === leader ? "UP" : "DOWN"],
        [`replicas/${name}`, name === leader ? "DOWN" : "UP"],
        [`synchronous/${name}`, name === standby ? "UP" : "DOWN"],
      ]),
    ),
  );
}

beforeAll(async () => {
  lab = await startSite(["lb-1", "lb-2", ...MEMBERS, "db-4", "client", "stranger"], "tests");
  deployment = new Deployment(`${lab.directory}/deployment`, replicaSet(lab), PASSWORDS);
});
afterAll(() => lab.stop());

test("a PostgreSQL of Debian's own where the set is to be: refused while it holds a database, else switched off", async () => {
  const db = lab.machine("db-1");
  await db.ssh(
    "set -e; pg_createcluster --start --port 5432 15 main >/dev/null; pg_createcluster --start --port 5499 15 other >/dev/null; cd /; runuser --user postgres -- createdb --port 5432 precious",
    { timeoutSeconds: 120 },
  );
  const { ok, output } = await deployment.apply();
  expect(ok).toBe(false);
  expect(output).toContain(
    "PostgreSQL 15/main on port 5432 holds databases or tables in /var/lib/postgresql/15/main",
  );
  expect(output).toContain("nothing was changed");
  await db.ssh("cd /; runuser --user postgres -- dropdb --port 5432 precious");
}, 600_000);

test("three members and a pair deployed: who leads, and who may do what", async () => {
  const { seconds } = await deployment.deploy();
  const { stdout } = await lab.machine("db-1").ssh("pg_lsclusters --no-header | awk '{ print $2, $4 }'");
  expect(stdout.trim().split("\n")).toEqual(["main down", "other online"]);
  figure(`deploy of three members and the pair: ${seconds.toFixed(0)} s`);
  await roles(lab);
  await settled("db-1");
  const which = "select host(inet_server_addr())";
  expect(await ask(WRITES, which)).toBe(ADDRESSES[leader as "db-1"]);
  expect(await ask({ ...WRITES, port: 5434 }, which)).toBe(ADDRESSES[standby as "db-1"]);
  await ask(WRITES, "create table numbers (n int)");
  await expect(ask(READS, "insert into numbers values (0)")).rejects.toThrow("in a read-only transaction");
}, 1_200_000);

const four = [...MEMBERS, "db-4"];
const others = (name: string, all: readonly string[] = MEMBERS): string[] =>
  all.filter((other) => other !== name);
const local = (name: string, statement: string): Promise<string> =>
  localSql(lab.machine(name), statement, { allowFailure: true });
const startOf = (name: string): Promise<string> => local(name, "select pg_postmaster_start_time()");

/** Servers in the order in which they did something, each once for all that it did in a row. */
function inTurn({ done }: Statements): (string | undefined)[] {
  return done.map(({ server }) => server).filter((server, index, all) => server !== all[index - 1]);
}

/** The action while an application writes through the pair all along: no acknowledged write may be lost, no two may write at once. */
const underWrites = (
  what: string,
  action: () => Promise<unknown>,
  targets = { before: WRITES, after: WRITES },
): Promise<Statements> => writesDuring(lab.machine("client"), what, action, targets);

/** Each member of etcd, by name, as one of them lists those that have a vote. */
async function votes(asked: string): Promise<string[]> {
  const { stdout } = await lab
    .machine(asked)
    .ssh(
      `etcdctl --endpoints=http://127.0.0.1:2379 member list | awk -F ', ' '$2 == "started" && $6 == "false" { print $3 }'`,
    );
  return stdout.trim().split("\n").sort();
}

test("applied again: nothing to do", async () => {
  expect(await deployment.isUpToDate()).toBe(true);
  expect(await votes("db-2")).toEqual([...MEMBERS]);
});

test("a reader reads what the owner makes, and writes nothing; a stranger's name is refused", async () => {
  const reader = { ...WRITES, password: PASSWORDS["reader-password"] };
  expect(await ask(reader, "select count(*) from numbers", "reader")).toBe("0");
  await expect(ask(reader, "insert into numbers values (1)", "reader")).rejects.toThrow("permission denied");
  await expect(ask({ ...WRITES, database: "postgres" }, "select 1")).rejects.toThrow("no pg_hba.conf entry");
  await expect(ask(WRITES, "select 1", "postgres")).rejects.toThrow("no pg_hba.conf entry");
  await expect(ask(WRITES, "select 1", "replicator")).rejects.toThrow("no pg_hba.conf entry");
  await expect(ask({ ...WRITES, password: "wrong" }, "select 1")).rejects.toThrow(
    "password authentication failed",
  );
  expect(await ask(WRITES, "select extname from pg_extension where extname = 'pgcrypto'")).toBe("pgcrypto");
  expect(await local(leader, "show data_checksums")).toBe("on");
});

test("each port is open to those who were named, and to nobody else", async () => {
  const open = async (from: Name, to: Name): Promise<number[]> => {
    const { tcp } = await portScan(lab.machine(from), ADDRESSES[to], { tcp: "all" });
    return [...tcp.open, ...tcp.closed].sort((a, b) => a - b);
  };
  // nobody is asked by a machine that it has asked before: what answers to one's own packets is let in
  expect(await open("stranger", "db-2")).toEqual([]);
  expect(await open("client", "db-2")).toEqual([]);
  expect(await open("db-1", "db-3")).toEqual([2379, 2380, 5432, 8008]);
  expect(await open("lb-1", "db-2")).toEqual([5432, 8008]);
  // and by the server's own list, were the firewall not there
  const hba = await local(leader, "select address from pg_hba_file_rules where address is not null");
  const allowed = ["lb-1", "lb-2", ...others(leader)].map((name) => ADDRESSES[name as Name]).sort();
  expect([...new Set(hba.split("\n"))].sort()).toEqual(allowed);
});

test("passwords are nowhere that an ordinary user, Terraform's state or a process list can show", async () => {
  for (const password of Object.values(PASSWORDS)) {
    for (const name of MEMBERS) {
      // as it is, and as a file of JSON or YAML has it
      for (const text of [password, JSON.stringify(password).slice(1, -1)]) {
        expect([name, await filesThatHold(lab.machine(name), text, "anybody")]).toEqual([name, []]);
      }
    }
    const { stdout } = await lab
      .machine("db-1")
      .ssh("cat /proc/*/cmdline /proc/*/environ 2>/dev/null | tr '\\0' ' '; journalctl --quiet");
    expect(stdout.includes(password)).toBe(false);
    expect(stdout.includes(JSON.stringify(password).slice(1, -1))).toBe(false);
    for (const file of [deployment.stateFile, `${deployment.stackDirectory}/cdk.tf.json`]) {
      expect(readFileSync(file, "utf8").includes(JSON.stringify(password).slice(1, -1))).toBe(false);
      expect(readFileSync(file, "utf8").includes(password)).toBe(false);
    }
  }
});

test("a value that PostgreSQL does not take is refused on the first member, and nobody is touched", async () => {
  const before = await Promise.all(MEMBERS.map(startOf));
  const outcome = await deployment.changed(replicaSet(lab, { parameters: { work_mem: "lots" } })).apply();
  expect(outcome.ok).toBe(false);
  expect(outcome.output).toContain('invalid value for parameter "work_mem": "lots"');
  expect(outcome.output).toContain("nothing was changed");
  expect(await Promise.all(MEMBERS.map(startOf))).toEqual(before);
}, 600_000);

test("a parameter with which PostgreSQL does not start goes back on the first replica; the primary never hears of it", async () => {
  const before = await startOf(leader);
  const writes = await underWrites("a library that is not there", async () => {
    const outcome = await deployment
      .changed(replicaSet(lab, { parameters: { shared_preload_libraries: "no_such_library" } }))
      .apply();
    expect(outcome.ok).toBe(false);
    expect(outcome.output).toContain("back on the last good version, which is healthy");
  });
  expect(writes.result.failed).toEqual([]);
  expect(await startOf(leader)).toBe(before);
  await settled(leader, MEMBERS, leader);
}, 600_000);

test("a parameter that is read at the start only: the replicas, one switchover, the old primary", async () => {
  const old = leader;
  const changed = await deployment
    .changed(replicaSet(lab, { parameters: { shared_buffers: "48MB" } }))
    .prepare();
  const since = Date.now() / 1000;
  let outcome: Outcome | undefined;
  const writes = await underWrites("shared_buffers changed", async () => {
    outcome = await changed.deploy();
  });
  figure(
    `shared_buffers changed: ${outcome!.seconds.toFixed(0)} s, longest gap of writes ${(writes.result.longestGapMs / 1000).toFixed(1)} s`,
  );
  for (const name of MEMBERS) expect(await local(name, "show shared_buffers")).toBe("48MB");
  const said = (await notes(lab, MEMBERS)).filter(({ at }) => at > since);
  expect(said.filter(({ text }) => text.startsWith("switched over")).map(({ name }) => name)).toEqual([old]);
  const restarts = said.filter(({ text }) => text.startsWith("restarted for parameters"));
  expect(restarts.map(({ name }) => name).sort()).toEqual(others(old));
  const steps = said
    .map(({ text }) => text.split(" ")[0])
    .filter((word) => /^(switched|restarted)$/.test(word!));
  expect(steps).toEqual(["restarted", "restarted", "switched"]);
  expect(inTurn(writes)).toHaveLength(2);
  await settled(old);
  expect(leader).not.toBe(old);
  expect(await changed.isUpToDate()).toBe(true);
}, 600_000);

/** Members in the order in which they restarted for what etcd holds. */
const restartedFor = async (since: number): Promise<string[]> =>
  (await notes(lab, MEMBERS))
    .filter(({ at, text }) => at > since && text.includes("restarted for settings"))
    .map(({ text }) => text.split(" ")[0]!);

test("connections are raised, replicas first, and lowered, the primary first; Terraform is killed in between", async () => {
  const raised = { parameters: { shared_buffers: "48MB", max_connections: 120 } };
  const lowered = { parameters: { shared_buffers: "48MB", max_connections: 80 } };
  for (const [what, props] of Object.entries({ raised, lowered })) {
    const since = Date.now() / 1000;
    const changed = await deployment.changed(replicaSet(lab, props)).prepare();
    const writes = await underWrites(`max_connections ${what}`, async () => {
      await changed.killedWhen(async () => (await restartedFor(since)).length > 0);
      await changed.deploy();
    });
    figure(
      `max_connections ${what}: longest gap of writes ${(writes.result.longestGapMs / 1000).toFixed(1)} s`,
    );
    for (const name of MEMBERS) {
      expect([name, await local(name, "show max_connections")]).toEqual([
        name,
        String(props.parameters.max_connections),
      ]);
    }
    const order = await restartedFor(since);
    expect([...order].sort()).toEqual([...MEMBERS]);
    expect(order.at(what === "raised" ? -1 : 0)).toBe(leader);
    expect(inTurn(writes)).toEqual([ADDRESSES[leader as Name]]);
    await settled(leader, MEMBERS, leader);
    // each member says so at its next turn
    await waitUntil(
      async () => !(await membersOf(lab.machine(leader))).some(({ pending_restart }) => pending_restart),
      30,
      () => "a restart is pending",
    );
  }
}, 800_000);

const settledParameters = { parameters: { shared_buffers: "48MB", max_connections: 80 } };

test("new passwords: the members' own, taken up by all at once, and an application's", async () => {
  const before = await Promise.all(MEMBERS.map(startOf));
  const passwords = {
    ...PASSWORDS,
    "member-password": "the next 'one' $(id)",
    "numbers-password": 'next "one"',
  };
  const changed = await deployment
    .changed(replicaSet(lab, { ...settledParameters, passwords: "2" }), passwords)
    .prepare();
  const writes = await underWrites("new passwords", () => changed.deploy(), {
    before: WRITES,
    after: { ...WRITES, password: passwords["numbers-password"] },
  });
  expect(writes.result.failed).toEqual([]);
  await expect(ask(WRITES, "select 1")).rejects.toThrow("password authentication failed");
  // replicas that have to log in anew do so
  await local(leader, "select pg_terminate_backend(pid) from pg_stat_replication");
  await settled(leader, MEMBERS, leader);
  await waitUntil(
    async () =>
      (await local(leader, "select count(*) from pg_stat_replication where state = 'streaming'")) === "2",
    30,
    () => "the replicas do not come back",
    300,
  );
  expect(await Promise.all(MEMBERS.map(startOf))).toEqual(before);
  await deployment.changed(replicaSet(lab, settledParameters)).deploy();
  expect(await ask(WRITES, "select 1")).toBe("1");
}, 600_000);

test("a fourth member joins, and nobody restarts for it", async () => {
  const before = await Promise.all(MEMBERS.map(startOf));
  const larger = await deployment.changed(replicaSet(lab, { ...settledParameters, members: four })).prepare();
  const writes = await underWrites("from 3 to 4 members", () => larger.deploy());
  expect(writes.result.failed).toEqual([]);
  await settled(leader, four, leader);
  expect(await Promise.all(MEMBERS.map(startOf))).toEqual(before);
  expect(await votes("db-1")).toEqual([...MEMBERS]);
}, 600_000);

test("the member that leads leaves: another one leads first, and etcd keeps three votes", async () => {
  const gone = leader;
  const left = others(gone, four);
  const smaller = await deployment
    .changed(replicaSet(lab, { ...settledParameters, members: left }))
    .prepare();
  const writes = await underWrites(`the primary leaves`, () => smaller.deploy());
  figure(`the primary leaves: longest gap of writes ${(writes.result.longestGapMs / 1000).toFixed(1)} s`);
  await settled(left[0]!, left);
  expect(inTurn(writes)).toEqual([gone, leader].map((name) => ADDRESSES[name as Name]));
  expect(await votes(left[0]!)).toEqual(left);
  const { stdout } = await lab
    .machine(gone)
    .ssh("systemctl is-active patroni etcd; ls -d /var/lib/postgresql/15/cdktf-ha; true", {
      allowFailure: true,
    });
  expect(stdout.trim().split("\n")).toEqual(["inactive", "inactive"]);
  // back again, as new
  const again = await deployment.changed(replicaSet(lab, settledParameters)).prepare();
  const more = await underWrites("back to the first three", () => again.deploy());
  figure(`back to the first three: longest gap of writes ${(more.result.longestGapMs / 1000).toFixed(1)} s`);
  await settled("db-1");
  expect(await votes("db-1")).toEqual([...MEMBERS]);
}, 1_000_000);

test("a member of etcd whose data is lost begins no cluster of its own, and an apply makes it join again", async () => {
  const lost = others(leader)[0]!;
  const machine = lab.machine(lost);
  await machine.ssh(
    "set -e; test ! -e /var/lib/etcd/first-start; systemctl stop etcd; mv /var/lib/etcd/cdktf-ha /var/lib/etcd/lost; systemctl start --no-block etcd",
  );
  await waitUntil(
    async () =>
      (await machine.ssh("journalctl --unit etcd --quiet")).stdout.includes(
        "no data: an apply makes this machine join again",
      ),
    30,
    () => "etcd does not say why it does not start",
    300,
  );
  const { stdout } = await machine.ssh(
    "systemctl is-active etcd; ls -d /var/lib/etcd/cdktf-ha/member; curl --silent --max-time 3 http://127.0.0.1:2379/health",
    { allowFailure: true },
  );
  expect(stdout.trim()).not.toMatch(/^active|member|health/m);
  const generations = { [lost]: "2" };
  const writes = await underWrites(`etcd's data is lost on ${lost}`, () =>
    deployment.changed(replicaSet(lab, { ...settledParameters, generations })).deploy(),
  );
  expect(writes.result.failed).toEqual([]);
  expect(await votes(leader)).toEqual([...MEMBERS]);
  await settled(leader, MEMBERS, leader);
}, 800_000);

test("other names in everybody's place: refused, and whoever leads keeps the data", async () => {
  const before = await ask(WRITES, "select count(*) from numbers");
  const renamed = await deployment
    .changed(replicaSet(lab, { ...settledParameters, members: ["db-4"] }))
    .prepare();
  // two of them may go, the last one may not, however often it is told to; be it that it leads again by then, or not yet
  for (const because of [
    /could not take its leave/,
    /no other (one runs that could|member leads)|and could not hand over/,
  ]) {
    const { ok, output } = await renamed.apply();
    expect(ok).toBe(false);
    expect(output.slice(-6000)).toMatch(because);
  }
  const { stdout } = await lab.machine("db-4").ssh("ls -d /var/lib/postgresql/15/cdktf-ha", {
    allowFailure: true,
  });
  expect(stdout).toBe("");
  await deployment.changed(replicaSet(lab, settledParameters)).deploy();
  await settled("db-1");
  expect(await ask(WRITES, "select count(*) from numbers")).toBe(before);
  expect(await votes("db-1")).toEqual([...MEMBERS]);
}, 1_200_000);

test("a machine is lost for good: another one takes its name, its vote and its place", async () => {
  const lost = others(leader).at(-1)!;
  const before = await Promise.all(others(lost).map(startOf));
  const addresses = { [lost]: ADDRESSES["db-4"] };
  const replaced = await deployment.changed(replicaSet(lab, { ...settledParameters, addresses })).prepare();
  const writes = await underWrites(`${lost} is lost and replaced`, async () => {
    await lab.machine(lost).cutPower();
    await replaced.deploy();
  });
  figure(
    `${lost} is lost and replaced: longest gap of writes ${(writes.result.longestGapMs / 1000).toFixed(1)} s`,
  );
  await awaitMembers(lab.machine(leader), 3, leader);
  expect(await Promise.all(others(lost).map(startOf))).toEqual(before);
  expect(await votes(leader)).toEqual([...MEMBERS]);
  const { stdout } = await lab.machine(leader).ssh("etcdctl --endpoints=http://127.0.0.1:2379 member list");
  expect(stdout).toContain(`${lost}, http://${ADDRESSES["db-4"]}:2380`);
}, 800_000);

test("the whole set goes: stopped, and every row stays; deployed again on its machines, each is there", async () => {
  const lost = MEMBERS.filter((name) => !lab.machine(name).isOn);
  const addresses = Object.fromEntries(lost.map((name) => [name, ADDRESSES["db-4"]]));
  const sum = "select count(*), sum(n) from numbers";
  await ask(WRITES, "insert into numbers select generate_series(1000001, 1001000)");
  const rows = await ask(WRITES, sum);
  const whole = deployment.changed(replicaSet(lab, { ...settledParameters, addresses }));
  const outcome = await whole.destroy();
  expect(outcome.ok).toBe(true);
  const machines = MEMBERS.map((member) => (lab.machine(member).isOn ? member : "db-4"));
  for (const name of machines) {
    const { stdout } = await lab
      .machine(name)
      .ssh("systemctl is-active patroni etcd; cat /var/lib/postgresql/15/cdktf-ha/PG_VERSION", {
        allowFailure: true,
      });
    expect(stdout.trim().split("\n")).toEqual(["inactive", "inactive", "15"]);
  }
  const { seconds } = await whole.deploy();
  figure(`deploy on the machines of a destroyed set: ${seconds.toFixed(0)} s`);
  ({ leader, standby } = await awaitMembers(lab.machine(machines[0]!), 3));
  await awaitServers(nodes(), { [`primary/${leader}`]: "UP" }, 60);
  expect(await ask(WRITES, sum)).toBe(rows);
  expect(await votes(machines[0]!)).toEqual([...MEMBERS]);
  for (const name of machines) {
    await waitUntil(
      async () => (await local(name, sum)) === rows,
      30,
      () => `${name} has not every row`,
      300,
    );
  }
  expect(await whole.isUpToDate()).toBe(true);
}, 1_200_000);
