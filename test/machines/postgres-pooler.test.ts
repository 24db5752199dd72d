import { setTimeout as delay } from "node:timers/promises";
import { Peer, PostgresTls, Secret, VirtualIp } from "cdktf-ha-clusters";
import type { TerraformStack } from "cdktf";
import type { Lab } from "../../machines/lab";
import { portScan } from "../../machines/ports";
import { waitUntil } from "../../machines/run";
import { Deployment } from "../support/deployment";
import { Authority } from "./support/certificates";
import { filesThatHold } from "./support/disclosure";
import { awaitServers, report } from "./support/haproxy";
import {
  awaitMembers,
  MEMBERS,
  notes,
  PASSWORDS,
  POOLED,
  replicaSet,
  type SetProps,
} from "./support/replica-set";
import { figure } from "./support/ring-site";
import { ADDRESSES, startSite, VIP, type Name } from "./support/site";
import { psql, SqlClient, type Statements } from "./support/sql-client";

/** PgBouncer in front of a set: who comes by way of it does not notice that the primary moves by an apply or by command. */
let lab: Lab;
let authority: Authority;
let deployment: Deployment;
let leader: string;
let secrets: Record<string, string>;

const PROGRAMS = "/usr/local/lib/cdktf-ha/postgres";
const ask = (statement: string, target = POOLED, user?: string): Promise<string> =>
  psql(lab.machine("client"), target, statement, user);
const leads = (): Promise<string> => ask("select host(inet_server_addr())");

const set =
  (props: SetProps = {}) =>
  (stack: TerraformStack): void => {
    const tls = PostgresTls.authority(Secret.variable(stack, "set-authority"), {
      trusted: [authority.certificate],
      names: [VIP],
    });
    replicaSet(lab, { tls, pooler: {}, ...props })(stack);
  };

const changes = { parameters: { shared_buffers: "48MB", max_connections: 120 }, otherPasswords: "2" };

interface Work {
  /** Transactions over a connection that is kept. */
  readonly kept: Statements;
  /** Questions over a connection of their own each. */
  readonly fresh: Statements;
  /** Seconds of the longest transaction or of a gap between two of them: who waits at a pooler sees no failure. */
  readonly longest: number;
}

/** The action while applications come by way of the poolers all along; every acknowledged row is there afterwards. */
async function underWork(what: string, action: () => Promise<unknown>): Promise<Work> {
  await ask("truncate numbers");
  const client = lab.machine("client");
  // who comes while the primary moves waits as long as it takes
  const writer = new SqlClient(client, "transact", { ...POOLED, connectSeconds: 30 });
  const reader = new SqlClient(client, "read", { ...POOLED, connectSeconds: 30 });
  try {
    await Promise.all([writer.begun(), reader.begun()]);
    await action();
    await delay(1500);
  } finally {
    await Promise.all([writer.stop(), reader.stop()]);
  }
  const [kept, fresh] = await Promise.all([writer.stop(), reader.stop()]);
  report(`${what}; transactions`, kept.result);
  report(`${what}; questions`, fresh.result);
  const rows = new Set((await ask("select n from numbers")).split("\n").map(Number));
  expect(kept.done.filter(({ number }) => !rows.has(number!))).toEqual([]);
  expect(kept.done.length).toBeGreaterThan(10);
  expect(fresh.done.length).toBeGreaterThan(10);
  return {
    kept,
    fresh,
    longest: Math.max(kept.result.longestGapMs, ...kept.all.map(({ ms }) => ms)) / 1000,
  };
}

/**
 * No transaction failed. A client that was just making its TLS connection may have to try again where PgBouncer reads its files anew, once for each
 * time: 1.18 throws handshakes away then.
 */
function expectUnbroken({ kept, fresh }: Work, reloads: number): void {
  expect(kept.result.failed).toEqual([]);
  const other = fresh.result.failed.filter(
    // what libpq says depends on how far the handshake was
    ({ error }) =>
      !/SSL (connection has been closed|error: unexpected eof|SYSCALL error)|server closed the connection/.test(
        error!,
      ),
  );
  expect(other).toEqual([]);
  expect(fresh.result.failed.length).toBeLessThanOrEqual(reloads);
}

beforeAll(async () => {
  lab = await startSite(["lb-1", "lb-2", ...MEMBERS, "client", "stranger"], "tests");
  authority = await Authority.create(lab.directory, "authority");
  secrets = { ...PASSWORDS, "set-authority": await authority.bundle() };
  deployment = new Deployment(`${lab.directory}/deployment`, set(), secrets);
});
afterAll(() => lab.stop());

test("three members with poolers and a pair: every pooler leads to the primary, and lets in whom the code names", async () => {
  const { seconds } = await deployment.deploy();
  figure(`deploy of three members with poolers, and the pair: ${seconds.toFixed(0)} s`);
  ({ leader } = await awaitMembers(lab.machine("db-1"), 3));
  await awaitServers(
    ["lb-1", "lb-2"].map((name) => lab.machine(name)),
    Object.fromEntries(MEMBERS.map((name) => [`pooled/${name}`, "UP"])),
  );
  await ask("create table numbers (n int)");
  expect(await Promise.all(MEMBERS.map(leads))).toEqual(MEMBERS.map(() => ADDRESSES[leader as Name]));
  const reader = { ...POOLED, password: PASSWORDS["reader-password"] };
  expect(await ask("select count(*) from numbers", reader, "reader")).toBe("0");
  await expect(ask("insert into numbers values (1)", reader, "reader")).rejects.toThrow("permission denied");
  await expect(ask("select 1", { ...POOLED, password: "wrong" })).rejects.toThrow(
    "SASL authentication failed",
  );
  await expect(ask("select 1", { ...POOLED, database: "postgres" })).rejects.toThrow("login rejected");
  await expect(ask("show pools", { ...POOLED, database: "pgbouncer" })).rejects.toThrow("not allowed");
  const { tcp } = await portScan(lab.machine("stranger"), ADDRESSES["db-2"], { tcp: [5432, 6432] });
  expect([...tcp.open, ...tcp.closed]).toEqual([]);
}, 800_000);

test("passwords are in no file that an ordinary user can read, and in no log", async () => {
  const [name] = MEMBERS;
  const machine = lab.machine(name);
  const { stdout: users } = await machine.ssh("cat /etc/pgbouncer/cdktf-ha/userlist.txt");
  const console = /"cdktf_ha_switch" "([0-9a-f]{64})"/.exec(users)![1]!;
  const texts = [console, ...Object.values(PASSWORDS)].flatMap((text) => [text, text.replaceAll('"', '""')]);
  const { stdout: log } = await machine.ssh(
    "cat /proc/*/cmdline /proc/*/environ 2>/dev/null | tr '\\0' ' '; journalctl --quiet",
  );
  for (const text of new Set(texts)) {
    expect([text, await filesThatHold(machine, text, "anybody")]).toEqual([text, []]);
    expect([text, log.includes(text)]).toEqual([text, false]);
  }
});

test("the primary's power is cut: the poolers find the next one, and no acknowledged row is lost", async () => {
  const old = leader;
  const work = await underWork("the primary's power is cut", async () => {
    await lab.machine(old).cutPower();
    await waitUntil(
      async () => ![ADDRESSES[old as Name], ""].includes(await leads().catch(() => "")),
      90,
      () => "nobody leads who can be reached by way of the poolers",
      500,
    );
  });
  figure(`the primary's power is cut, pooled: no transaction for ${work.longest.toFixed(1)} s`);
  await lab.machine(old).powerOn();
  ({ leader } = await awaitMembers(lab.machine(old), 3));
  expect(work.longest).toBeGreaterThan(5); // else nobody had to take over
}, 600_000);

test("new passwords, and parameters that are read at the start only, by a switchover and by the primary's own restart: nothing fails", async () => {
  const old = leader;
  const since = Date.now() / 1000;
  const before = { ...POOLED, password: PASSWORDS["reader-password"] };
  secrets = { ...secrets, "member-password": `the "next" one`, "reader-password": `another "one" \\` };
  const changed = await deployment.changed(set(changes), secrets).prepare();
  const work = await underWork("shared_buffers and max_connections changed", () => changed.deploy());
  figure(`shared_buffers and max_connections changed: longest wait ${work.longest.toFixed(1)} s`);
  // the members' password, who leads, the roles' passwords: each at three poolers; and their followers begin again
  expectUnbroken(work, 12);
  ({ leader } = await awaitMembers(lab.machine(old), 3));
  expect(leader).not.toBe(old);
  expect(await ask("show shared_buffers")).toBe("48MB");
  expect(await ask("show max_connections")).toBe("120");
  const reader = { ...POOLED, password: secrets["reader-password"]! };
  expect(await ask("select 1", reader, "reader")).toBe("1");
  await expect(ask("select 1", before, "reader")).rejects.toThrow("SASL authentication failed");
  const said = (await notes(lab, MEMBERS)).filter(({ at }) => at > since).map(({ text }) => text);
  const pauses = said.filter((text) => text.includes("pooler") && text.includes("paused"));
  const all = expect.stringMatching(/^the poolers of db-1, db-2, db-3 were paused for \d+\.\d s$/) as unknown;
  expect(pauses).toEqual([all, all]);
  for (const text of pauses) figure(text);
}, 600_000);

test("a switchover by command: nothing fails", async () => {
  const old = leader;
  const work = await underWork("a switchover", () =>
    lab.machine(old).ssh(`${PROGRAMS}/member switchover`, { timeoutSeconds: 120 }),
  );
  figure(`a switchover by command, pooled: longest wait ${work.longest.toFixed(1)} s`);
  expectUnbroken(work, 3); // who leads
  ({ leader } = await awaitMembers(lab.machine(old), 3));
  expect(leader).not.toBe(old);
}, 400_000);

test("whoever pauses the poolers is killed: they go on by themselves", async () => {
  const machine = lab.machine(leader);
  const work = await underWork("killed while the poolers are paused", async () => {
    // as its own programs do it
    const script =
      "import time, pooler\nwith pooler.paused():\n print('paused', flush=True)\n time.sleep(300)";
    await machine.ssh(
      `cd ${PROGRAMS}; (setsid python3 -B - >/run/pausing 2>&1 <<'END' & echo $! >/run/pausing.pid)\n${script}\nEND`,
    );
    await waitUntil(
      async () => (await machine.ssh("cat /run/pausing")).stdout.includes("paused"),
      20,
      () => "nobody has paused the poolers",
      200,
    );
    await delay(2000);
    await machine.ssh("kill -9 $(cat /run/pausing.pid)");
    await delay(3000);
  });
  figure(`killed while the poolers are paused: longest wait ${work.longest.toFixed(1)} s`);
  expectUnbroken(work, 0);
  expect(work.longest).toBeGreaterThan(1.5); // they were paused
  expect(work.longest).toBeLessThan(20);
}, 400_000);

test("an address of the primary is added: everybody restarts once, by one switchover, and the poolers answer at it too", async () => {
  const address = "10.77.0.101";
  const switchovers = async (): Promise<number> => {
    const { stdout } = await lab
      .machine(leader)
      .ssh(`curl --silent --insecure https://${lab.machine(leader).address}:8008/history`);
    return (JSON.parse(stdout) as unknown[]).length;
  };
  const before = await switchovers();
  await deployment
    .changed(
      set({
        ...changes,
        virtualIp: VirtualIp.layer2(`${address}/24`),
        also: (_stack, _rack, db) => db.pooled.allowFrom(Peer.cidr(ADDRESSES.client)),
      }),
      secrets,
    )
    .deploy();
  ({ leader } = await awaitMembers(lab.machine("db-1"), 3));
  await waitUntil(
    async () => (await switchovers()) > before,
    30,
    () => "no switchover is in the history",
  );
  expect((await switchovers()) - before).toBe(1);
  expect(await ask("select host(inet_server_addr())", { ...POOLED, host: address })).toBe(
    lab.machine(leader).address,
  );
  const { stdout } = await lab.machine(leader).ssh(`ip -o address show to ${address}`);
  expect(stdout).toContain(address);
}, 800_000);

test("the poolers leave the code: stopped, and no password stays with them", async () => {
  await deployment.changed(set({ ...changes, pooler: undefined }), secrets).deploy();
  for (const name of MEMBERS) {
    const machine = lab.machine(name);
    const { stdout } = await machine.ssh(
      "systemctl is-active pgbouncer pgbouncer-follow; systemctl is-enabled pgbouncer; true",
    );
    expect(stdout.trim().split("\n")).toEqual(["inactive", "inactive", "disabled"]);
    const left = await machine.ssh("ls /etc/pgbouncer/cdktf-ha 2>/dev/null", { allowFailure: true });
    expect(left.stdout).toBe("");
  }
}, 600_000);
