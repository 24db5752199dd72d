import type { Lab } from "../../machines/lab";
import { Deployment } from "../support/deployment";
import {
  ALL_UP,
  cql,
  FIRST_THREE,
  figure,
  isOpen,
  NODES,
  notesOf,
  oneAfterTheOther,
  QUICK,
  ringOf,
  startRingSite,
  startsOf,
  statesOf,
  underLoad,
  VARIABLES,
  untilStates,
  untilInSync,
} from "./support/ring-site";

/** A ring under a client that writes and reads back all along: deployed, replicated more often, changed. */
let lab: Lab;
let deployment: Deployment;

beforeAll(async () => {
  lab = await startRingSite(Object.fromEntries(FIRST_THREE.map((name) => [name, NODES[name]])));
  deployment = new Deployment(`${lab.directory}/deployment`, ringOf(lab), VARIABLES);
});
afterAll(() => lab.stop());

const esmond = { name: "esmond", replicationFactor: 3 };
test("three nodes deployed: all up and normal, seen from each", async () => {
  const outcome = await deployment.deploy();
  const memory = await Promise.all(FIRST_THREE.map((name) => lab.machine(name).memoryMiB()));
  figure(
    `deploy of three nodes: ${outcome.seconds.toFixed(0)} s; ${memory.map(Math.round).join(", ")} MiB resident`,
  );
  for (const name of FIRST_THREE) expect(await statesOf(lab.machine(name))).toEqual(ALL_UP);
  const systems = await cql(
    lab.machine("cassandra-1"),
    "SELECT keyspace_name, replication FROM system_schema.keyspaces",
  );
  expect(systems.find((row) => row.startsWith("system_auth"))).toContain("'datacenter1': '3'");
}, 1_200_000);

test("applied again: nothing to do", async () => {
  const before = await startsOf(lab, FIRST_THREE);
  expect(await deployment.isUpToDate()).toBe(true);
  const { added, changed, destroyed } = await deployment.deploy();
  expect({ added, changed, destroyed }).toEqual({ added: 0, changed: 0, destroyed: 0 });
  expect(await startsOf(lab, FIRST_THREE)).toEqual(before);
});

test("each port is open to those who were named, and to nobody else", async () => {
  const [node, other] = [NODES["cassandra-1"], lab.machine("cassandra-2")];
  // listeners that nobody asked for, where only a firewall keeps strangers out
  await lab
    .machine("cassandra-1")
    .ssh(
      `for port in 7001 7199 9160; do systemd-run --quiet --unit=forgotten-$port socat TCP-LISTEN:$port,bind=${node},fork,reuseaddr -; done`,
    );
  const open = async (from: string): Promise<number[]> => {
    const ports = [7000, 7001, 7199, 9042, 9160];
    const answers = await Promise.all(ports.map((port) => isOpen(lab.machine(from), node, port)));
    return ports.filter((_, index) => answers[index]);
  };
  expect(await open("cassandra-2")).toEqual([7000, 9042]);
  expect(await open("client")).toEqual([9042]);
  expect(await open("stranger")).toEqual([]);
  // JMX by itself: on the loopback address only, and nodetool there works
  const { stdout } = await other.ssh("ss --tcp --listening --numeric --no-header 'sport = :7199'");
  expect(stdout).toMatch(/127\.0\.0\.1[\]]?:7199/);
  expect(stdout).not.toContain(NODES["cassandra-2"]);
  expect((await other.ssh("nodetool info")).stdout).toMatch(/Gossip active\s+: true/);
  await lab.machine("cassandra-1").ssh("systemctl stop 'forgotten-*'");
});

test("the default superuser is refused, and so is who says no password", async () => {
  const attempt = (login: string): Promise<string> =>
    lab
      .machine("client")
      .ssh(
        `python3 -c "from cassandra.cluster import Cluster; from cassandra.auth import PlainTextAuthProvider as P; Cluster(['${NODES["cassandra-1"]}'], ${login}protocol_version=4, control_connection_timeout=20, connect_timeout=20).connect(); print('in')" 2>&1 | tail -n 1`,
      )
      .then(({ stdout }) => stdout);
  expect(await attempt("auth_provider=P('cassandra', 'cassandra'), ")).toMatch(
    /AuthenticationFailed|not permitted/,
  );
  expect(await attempt("")).toMatch(/AuthenticationFailed|requires authentication/);
  expect(await attempt(`auth_provider=P('esmond', '${VARIABLES["esmond-password"]}'), `)).toBe("in\n");
});

test("from 2 to 3 copies, and away from SimpleStrategy: altered once, repaired one node after the other", async () => {
  await cql(
    lab.machine("cassandra-1"),
    "CREATE KEYSPACE legacy WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 2}",
    "CREATE TABLE legacy.rows (id int PRIMARY KEY, value text)",
    ...[...Array(20).keys()].map((id) => `INSERT INTO legacy.rows (id, value) VALUES (${id}, 'old')`),
  );
  const more = await deployment
    .changed(ringOf(lab, { keyspaces: [esmond, { name: "legacy", replicationFactor: 3 }] }))
    .prepare();
  await underLoad(lab, "from 2 to 3 copies", () => more.deploy());
  const notes = await notesOf(lab, FIRST_THREE);
  for (const keyspace of ["esmond", "legacy"]) {
    expect(notes.filter(({ text }) => text.startsWith(`altered keyspace ${keyspace}:`))).toHaveLength(1);
    const repairs = oneAfterTheOther(notes, `nodetool repair -full -pr ${keyspace}`);
    expect(repairs.map(({ node }) => node).sort()).toEqual(FIRST_THREE);
  }
  oneAfterTheOther(notes, "nodetool repair");
  // each row is on three nodes, and nothing differs between them
  for (const [keyspace, table] of [
    ["esmond", "load"],
    ["legacy", "rows"],
  ] as const) {
    const { stdout: owners } = await lab
      .machine("cassandra-2")
      .ssh(`nodetool getendpoints ${keyspace} ${table} 1`);
    expect(owners.trim().split("\n").sort()).toEqual(FIRST_THREE.map((name) => NODES[name]));
    await untilInSync(lab.machine("cassandra-2"), keyspace);
  }
}, 1_200_000);

test("a rolling change of the configuration: one node after the other, no operation fails", async () => {
  const changed = await deployment
    .changed(
      ringOf(lab, {
        keyspaces: [esmond, { name: "legacy", replicationFactor: 3 }],
        settings: { compaction_throughput: "32MiB/s" },
      }),
    )
    .prepare();
  const before = await startsOf(lab, FIRST_THREE);
  await underLoad(lab, "rolling restart of three nodes", () => changed.deploy());
  const after = await startsOf(lab, FIRST_THREE);
  expect(after.filter((start, index) => start !== before[index])).toHaveLength(3);
  for (const name of FIRST_THREE) await untilStates(lab.machine(name), ALL_UP);
}, 1_200_000);

test("a configuration that Cassandra does not take is refused on the first node; nobody notices", async () => {
  const before = await startsOf(lab, FIRST_THREE);
  const bad = await deployment
    .changed(ringOf(lab, { keyspaces: [esmond], settings: { compaction_throughput: "fast" } }))
    .prepare();
  const outcome = await underLoad(lab, "a bad setting refused", () => bad.apply());
  expect(outcome.ok).toBe(false);
  expect(outcome.output).toMatch(/fast/);
  expect(await startsOf(lab, FIRST_THREE)).toEqual(before);
}, 400_000);

test("a configuration that is well-formed but does not run goes back on the first node; nobody notices", async () => {
  const before = await startsOf(lab, FIRST_THREE);
  // neither Cassandra's loader nor Java reads it before the daemon does
  const jvmOptions = [...QUICK, "-Dcassandra.ring_delay_ms=soon"];
  const bad = await deployment.changed(ringOf(lab, { keyspaces: [esmond], jvmOptions })).prepare();
  const outcome = await underLoad(lab, "a change that does not run rolled back", () => bad.apply());
  expect(outcome.ok).toBe(false);
  expect(outcome.output).toContain("back on the last good version, which is healthy");
  expect((await startsOf(lab, FIRST_THREE)).slice(1)).toEqual(before.slice(1));
  await untilStates(lab.machine("cassandra-2"), ALL_UP);
}, 1_200_000);
