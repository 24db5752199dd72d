import { readFileSync } from "node:fs";
import type { Lab, LabMachine } from "../../machines/lab";
import { portScan } from "../../machines/ports";
import { Deployment } from "../support/deployment";
import { filesThatHold } from "./support/disclosure";
import { awaitServers } from "./support/haproxy";
import { awaitMembers, MEMBERS, PASSWORDS, READS, replicaSet, WRITES } from "./support/replica-set";
import { figure } from "./support/ring-site";
import { ADDRESSES, roles, startSite, type Name } from "./support/site";
import { psql } from "./support/sql-client";

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

test("three members and a pair deployed: who leads, and who may do what", async () => {
  const { seconds } = await deployment.deploy();
  figure(`deploy of three members and the pair: ${seconds.toFixed(0)} s`);
  await roles(lab);
  await settled("db-1");
  const which = "select host(inet_server_addr())";
  expect(await ask(WRITES, which)).toBe(ADDRESSES[leader as "db-1"]);
  expect(await ask({ ...WRITES, port: 5434 }, which)).toBe(ADDRESSES[standby as "db-1"]);
  await ask(WRITES, "create table numbers (n int)");
  await expect(ask(READS, "insert into numbers values (0)")).rejects.toThrow("in a read-only transaction");
}, 600_000);

const others = (name: string, all: readonly string[] = MEMBERS): string[] =>
  all.filter((other) => other !== name);
const local = async (name: string, statement: string): Promise<string> => {
  const { stdout } = await lab
    .machine(name)
    .ssh(`cd /; runuser --user postgres -- psql -XAtq --dbname numbers --command "${statement}"`, {
      allowFailure: true,
    });
  return stdout.trim();
};

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
      expect([name, await filesThatHold(lab.machine(name), password, "anybody")]).toEqual([name, []]);
    }
    const { stdout } = await lab
      .machine("db-1")
      .ssh("cat /proc/*/cmdline /proc/*/environ 2>/dev/null | tr '\\0' ' '; journalctl --quiet");
    expect(stdout.includes(password)).toBe(false);
    for (const file of [deployment.stateFile, `${deployment.stackDirectory}/cdk.tf.json`]) {
      expect(readFileSync(file, "utf8").includes(JSON.stringify(password).slice(1, -1))).toBe(false);
    }
  }
});
