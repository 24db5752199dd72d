import { setTimeout as delay } from "node:timers/promises";
import {
  HaproxyKeepalivedPair,
  HealthCheck,
  Peer,
  RolloutOrder,
  Secret,
  ServiceTier,
  VirtualIp,
} from "cdktf-ha-clusters";
import type { TerraformStack } from "cdktf";
import type { Lab, LabMachine } from "../../machines/lab";
import { waitUntil } from "../../machines/run";
import { Deployment } from "../support/deployment";
import { awaitServers, report } from "./support/haproxy";
import { allowPatroni, awaitPatroni, patroniService } from "./support/patroni";
import { ADDRESSES, rackOf, roles, startSite, VIP } from "./support/site";
import { psql, SqlClient, type Statements } from "./support/sql-client";

/** A PostgreSQL whose primary moves, behind the pair: one address to write to, one to read from, whoever leads. */
let lab: Lab;
const DATABASES = ["db-1", "db-2", "db-3"] as const;
const WRITES = { host: VIP, port: 5432, password: "0123456789abcdef" };
const READS = { ...WRITES, port: 5433 };

function declare(stack: TerraformStack): void {
  const rack = rackOf(stack, lab);
  const members = Object.fromEntries(DATABASES.map((name) => [name, ADDRESSES[name]]));
  const db = new ServiceTier(stack, "db", {
    platform: rack,
    nodes: DATABASES,
    port: 5432,
    mode: "tcp",
    services: [patroniService({ members, password: Secret.variable(stack, "password") })],
    order: RolloutOrder.allAtOnce(), // etcd answers when most of its members are there
  });
  allowPatroni(db);
  const lb = new HaproxyKeepalivedPair(stack, "lb", {
    platform: rack,
    virtualIp: VirtualIp.layer2(`${VIP}/24`),
    maximumConnections: 1000,
  });
  const clients = [Peer.cidr(ADDRESSES.client)];
  lb.balance("primary", { port: WRITES.port, to: db, check: HealthCheck.patroniPrimary(), clients });
  lb.balance("replicas", { port: READS.port, to: db, check: HealthCheck.patroniReplica(), clients });
}

/** Who leads, and who holds every commit. */
let leader: string;
let standby: string;
const nodes = (): LabMachine[] => ["lb-1", "lb-2"].map((name) => lab.machine(name));
const at = (name: string): string => ADDRESSES[name as (typeof DATABASES)[number]];
const others = (name: string): string[] => DATABASES.filter((database) => database !== name);
const ask = (target: typeof WRITES, statement: string, user?: string): Promise<string> =>
  psql(lab.machine("client"), target, statement, user);

/** All members are there, and each listener leads to those that it should. */
async function settled(asked: string, knownLeader?: string): Promise<void> {
  ({ leader, standby } = await awaitPatroni(lab.machine(asked), DATABASES.length, knownLeader));
  await awaitServers(
    nodes(),
    Object.fromEntries(
      DATABASES.flatMap((name) => [
        [`primary/${name}`, name === leader ? "UP" : "DOWN"],
        [`replicas/${name}`, name === leader ? "DOWN" : "UP"],
      ]),
    ),
  );
}

beforeAll(async () => {
  lab = await startSite(["lb-1", "lb-2", ...DATABASES, "client"], "tests");
  await new Deployment(`${lab.directory}/deployment`, declare, { password: WRITES.password }).deploy();
  await roles(lab);
  await settled("db-1");
  const role = `create role app login password '${WRITES.password}'`;
  await ask(WRITES, `${role}; create table numbers (n int); grant all on numbers to app`, "postgres");
});
afterAll(() => lab.stop());

test("one listener leads to the primary, the other one to its replicas", async () => {
  const which = "select host(inet_server_addr())";
  expect(await ask(WRITES, which)).toBe(at(leader));
  const readers = [await ask(READS, which), await ask(READS, which)];
  expect(readers.sort()).toEqual(others(leader).map(at).sort());
  await expect(ask(READS, "insert into numbers values (0)")).rejects.toThrow(
    "cannot execute INSERT in a read-only transaction",
  );
});

/**
 * Applications write and read while the leader is in trouble, until a second one leads and the first one is back. No
 * acknowledged write may be lost, none may go to the old leader once one went to the new one.
 */
async function losingTheLeader(
  what: string,
  trouble: () => Promise<void>,
  rescue: () => Promise<void>,
): Promise<void> {
  const [old, next] = [leader, standby];
  await ask(WRITES, "truncate numbers", "postgres");
  const client = lab.machine("client");
  const [writer, reader] = [new SqlClient(client, "write", WRITES), new SqlClient(client, "read", READS)];
  let moved: number;
  try {
    await delay(2000);
    await trouble();
    moved = await awaitServers(nodes(), { [`primary/${next}`]: "UP", [`replicas/${next}`]: "DOWN" }, 60);
    await delay(1000);
    await rescue();
    await settled(next, next);
    await delay(1000);
  } finally {
    await Promise.all([writer.stop(), reader.stop()]);
  }
  const [writes, reads] = await Promise.all([writer.stop(), reader.stop()]);
  report(`${what}: the next leader is known after ${moved} ms; writes`, writes.result);
  report("reads meanwhile", reads.result);
  // first the one, then the other, and never back
  expect(inTurn(writes)).toEqual([old, next].map(at));
  const rows = new Set((await ask(WRITES, "select n from numbers")).split("\n").map(Number));
  expect(writes.done.filter(({ number }) => !rows.has(number!))).toEqual([]);
  expect(writes.result.longestGapMs).toBeLessThan(60_000);
  // a connection to the replica that is promoted is cut; whoever asks again is answered, if only after two checks
  expect(reads.result.longestGapMs).toBeLessThan(10_000);
  await awaitSameRows(old, next);
}

/** A replica holds what the leader holds, no more and no less. */
async function awaitSameRows(replica: string, primary: string): Promise<void> {
  const sql = "select pg_is_in_recovery(), count(*), sum(n) from numbers";
  const rowsOf = async (name: string): Promise<string> => {
    const query = `cd /; sudo -u postgres psql -XAt --port 5432 -c "${sql}"`;
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

test("the leader's power is cut", async () => {
  const old = lab.machine(leader);
  await losingTheLeader(
    "leader's power cut",
    () => old.cutPower(),
    () => old.powerOn(),
  );
});

test("the leader is cut off from the other members, not from the load balancers: nobody writes to both", async () => {
  await losingTheLeader(
    "leader cut off",
    () => lab.partition([leader], others(leader)),
    () => lab.heal(),
  );
});
