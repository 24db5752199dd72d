import { setTimeout as delay } from "node:timers/promises";
import type { Lab, LabMachine } from "../../machines/lab";
import { Deployment } from "../support/deployment";
import { awaitServers, report } from "./support/haproxy";
import { awaitMembers, MEMBERS, PASSWORDS, READS, replicaSet, WRITES } from "./support/replica-set";
import { figure } from "./support/ring-site";
import { ADDRESSES, roles, startSite, type Name } from "./support/site";
import { psql, SqlClient, type Statements } from "./support/sql-client";
import { waitUntil } from "../../machines/run";

/** What may happen to a PostgreSQL replica set behind the pair: one address to write to, one to read from, whoever leads. */
let lab: Lab;
/** Who leads, and who holds every commit. */
let leader: string;
let standby: string;
const nodes = (): LabMachine[] => ["lb-1", "lb-2"].map((name) => lab.machine(name));
const at = (name: string): string => ADDRESSES[name as Name];
const others = (name: string): string[] => MEMBERS.filter((member) => member !== name);
const ask = (target: typeof WRITES, statement: string): Promise<string> =>
  psql(lab.machine("client"), target, statement);

/** All members are there, and each listener leads to those that it should. */
async function settled(asked: string, knownLeader?: string): Promise<void> {
  ({ leader, standby } = await awaitMembers(lab.machine(asked), MEMBERS.length, knownLeader));
  await awaitServers(
    nodes(),
    Object.fromEntries(
      MEMBERS.flatMap((name) => [
        [`primary/${name}`, name === leader ? "UP" : "DOWN"],
        [`replicas/${name}`, name === leader ? "DOWN" : "UP"],
        [`synchronous/${name}`, name === standby ? "UP" : "DOWN"],
      ]),
    ),
  );
}

beforeAll(async () => {
  lab = await startSite(["lb-1", "lb-2", ...MEMBERS, "client"], "tests");
  await new Deployment(`${lab.directory}/deployment`, replicaSet(lab), PASSWORDS).deploy();
  await roles(lab);
  await settled("db-1");
  await ask(WRITES, "create table numbers (n int)");
}, 600_000);
afterAll(() => lab.stop());

test("one listener leads to the primary, one to its replicas, one to the replica that has every commit", async () => {
  const which = "select host(inet_server_addr())";
  expect(await ask(WRITES, which)).toBe(at(leader));
  const readers = [await ask(READS, which), await ask(READS, which)];
  expect(readers.sort()).toEqual(others(leader).map(at).sort());
  expect(await ask({ ...WRITES, port: 5434 }, which)).toBe(at(standby));
  await expect(ask(READS, "insert into numbers values (0)")).rejects.toThrow(
    "cannot execute INSERT in a read-only transaction",
  );
});

/**
 * Applications write and read while something happens. No acknowledged write may be lost, and once one went to another server,
 * none goes to the old one.
 */
async function underLoad(
  what: string,
  action: () => Promise<void>,
): Promise<{ writes: Statements; reads: Statements }> {
  await ask(WRITES, "truncate numbers");
  const client = lab.machine("client");
  const [writer, reader] = [new SqlClient(client, "write", WRITES), new SqlClient(client, "read", READS)];
  try {
    await Promise.all([writer.begun(), reader.begun()]);
    await action();
    await delay(1000);
  } finally {
    await Promise.all([writer.stop(), reader.stop()]);
  }
  const [writes, reads] = await Promise.all([writer.stop(), reader.stop()]);
  report(`${what}: writes`, writes.result);
  report("reads meanwhile", reads.result);
  figure(`${what}: first write after ${(writes.result.longestGapMs / 1000).toFixed(1)} s`);
  const rows = new Set((await ask(WRITES, "select n from numbers")).split("\n").map(Number));
  expect(writes.done.filter(({ number }) => !rows.has(number!))).toEqual([]);
  expect(writes.done.length).toBeGreaterThan(20);
  return { writes, reads };
}

async function losingTheLeader(
  what: string,
  trouble: () => Promise<void>,
  rescue: () => Promise<void>,
): Promise<void> {
  const [old, next] = [leader, standby];
  const { writes, reads } = await underLoad(what, async () => {
    await trouble();
    await awaitServers(nodes(), { [`primary/${next}`]: "UP", [`replicas/${next}`]: "DOWN" }, 60);
    await delay(1000);
    await rescue();
    await settled(next, next);
  });
  // first the one, then the other, and never back
  expect(inTurn(writes)).toEqual([old, next].map(at));
  expect(writes.result.longestGapMs).toBeLessThan(60_000);
  // a connection to the replica that is promoted is cut; whoever asks again is answered, if only after two checks, or when the third one, which
  // may know more than the promoted one, has been put back
  expect(reads.result.longestGapMs).toBeLessThan(60_000);
  await awaitSameRows(old, next);
}

/** A replica holds what the leader holds, no more and no less. */
async function awaitSameRows(replica: string, primary: string): Promise<void> {
  const sql = "select pg_is_in_recovery(), count(*), sum(n) from numbers";
  const rowsOf = async (name: string): Promise<string> => {
    const query = `cd /; runuser --user postgres -- psql -XAt --dbname numbers -c "${sql}"`;
    return (await lab.machine(name).ssh(query, { allowFailure: true })).stdout.trim();
  };
  const wanted = (await rowsOf(primary)).replace(/^f/, "t");
  let rows = "";
  await waitUntil(
    async () => (rows = await rowsOf(replica)) === wanted,
    30,
    () => `rows of ${replica}: ${rows}, wanted ${wanted}`,
    300,
  );
}

/** Servers in the order in which they did something, each once for all that it did in a row. */
function inTurn({ done }: Statements): (string | undefined)[] {
  return done.map(({ server }) => server).filter((server, index, all) => server !== all[index - 1]);
}

test("the leader's power is cut: it comes back as a replica by itself", async () => {
  const old = lab.machine(leader);
  await losingTheLeader(
    "leader's power cut",
    () => old.cutPower(),
    () => old.powerOn(),
  );
}, 600_000);

test("the leader is cut off from the other members, not from the load balancers: nobody writes to both", async () => {
  await losingTheLeader(
    "leader cut off",
    () => lab.partition([leader], others(leader)),
    () => lab.heal(),
  );
}, 600_000);

test("a switchover by command", async () => {
  const [old, next] = [leader, standby];
  const { writes } = await underLoad("switchover", async () => {
    await expect(lab.machine(next).ssh("/usr/local/lib/cdktf-ha/postgres/member switchover")).rejects.toThrow(
      `${old} leads, not this member`,
    );
    await lab.machine(old).ssh("/usr/local/lib/cdktf-ha/postgres/member switchover", { timeoutSeconds: 120 });
    await settled(next, next);
  });
  expect(inTurn(writes)).toEqual([old, next].map(at));
  expect(writes.result.longestGapMs).toBeLessThan(20_000);
}, 400_000);

test("etcd loses its quorum: the primary goes on, since it reaches every member", async () => {
  const away = others(leader);
  const before = leader;
  const { writes } = await underLoad("two of three members of etcd stopped", async () => {
    for (const name of away) await lab.machine(name).ssh("systemctl stop etcd");
    await delay(40_000); // twice as long as the lock holds
    for (const name of away) await lab.machine(name).ssh("systemctl start etcd");
    await settled(before, before);
  });
  expect(inTurn(writes)).toEqual([at(before)]);
  expect(writes.result.failed).toEqual([]);
}, 600_000);
