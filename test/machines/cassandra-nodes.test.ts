import { spawn } from "node:child_process";
import { once } from "node:events";
import type { Lab } from "../../machines/lab";
import { waitUntil } from "../../machines/run";
import { Deployment, type Outcome } from "../support/deployment";
import {
  ALL_UP,
  cql,
  FIRST_THREE,
  figure,
  NODES,
  nodeSpec,
  notesOf,
  oneAfterTheOther,
  ringOf,
  startRingSite,
  statesOf,
  underLoad,
  VARIABLES,
} from "./support/ring-site";

/** Nodes come, go, die and are replaced, under a client that writes and reads back all along. */
let lab: Lab;
let deployment: Deployment;
const keyspaces = [{ name: "esmond", replicationFactor: 3 }];
const four = [...FIRST_THREE, "cassandra-4"];

beforeAll(async () => {
  lab = await startRingSite(NODES);
  deployment = new Deployment(`${lab.directory}/deployment`, ringOf(lab, { keyspaces }), VARIABLES);
}, 120_000);
afterAll(() => lab.stop());

const starts = async (name: string): Promise<string> =>
  (await lab.machine(name).ssh("systemctl show --property=ActiveEnterTimestampMonotonic cassandra")).stdout;

/** What a command of Terraform's did that is killed by `kill -9` as soon as something is so. */
async function killedWhen(prepared: Deployment, isSo: () => Promise<boolean>): Promise<Outcome> {
  const start = performance.now();
  const terraform = spawn("terraform", ["apply", "-auto-approve", "-input=false", "-lock=false"], {
    cwd: prepared.stackDirectory,
    env: prepared.environment,
    stdio: "ignore",
  });
  const ended = once(terraform, "exit");
  try {
    await waitUntil(isSo, 300, () => "it never came to that", 300);
  } finally {
    terraform.kill("SIGKILL");
  }
  await ended;
  const seconds = (performance.now() - start) / 1000;
  return { ok: false, output: "", seconds, added: 0, changed: 0, destroyed: 0, steps: [] };
}

test("three nodes deployed", async () => {
  const { seconds } = await deployment.deploy();
  figure(`deploy of three nodes: ${seconds.toFixed(0)} s`);
}, 600_000);

test("terraform is killed while a fourth node joins; the next apply goes on, and the others clean up in turn", async () => {
  const before = await Promise.all(FIRST_THREE.map(starts));
  const larger = await deployment.changed(ringOf(lab, { keyspaces, nodes: four })).prepare();
  const outcome = await underLoad(lab, "from 3 to 4 nodes, terraform killed in between", async () => {
    const killed = await killedWhen(larger, async () => {
      const { stdout } = await lab
        .machine("cassandra-4")
        .ssh("systemctl is-active cassandra; cat /var/lib/cassandra/cdktf-ha-node", { allowFailure: true });
      return stdout.startsWith("active\nNODE_STATE=joining");
    });
    const again = await larger.deploy();
    return { ...again, seconds: killed.seconds + again.seconds };
  });
  expect(outcome.ok).toBe(true);
  for (const name of four)
    expect(await statesOf(lab.machine(name))).toEqual({ ...ALL_UP, "cassandra-4": "UN" });
  const cleanups = oneAfterTheOther(await notesOf(lab, four), "nodetool cleanup");
  expect(cleanups.map(({ node }) => node).sort()).toEqual(FIRST_THREE);
  expect(await Promise.all(FIRST_THREE.map(starts))).toEqual(before);
  expect(await larger.isUpToDate()).toBe(true);
}, 600_000);

test("a node that has joined becomes a seed, without a restart", async () => {
  const before = await Promise.all(four.map(starts));
  await deployment
    .changed(ringOf(lab, { keyspaces, nodes: four, seeds: ["cassandra-1", "cassandra-4"] }))
    .deploy();
  const { stdout } = await lab.machine("cassandra-2").ssh("nodetool getseeds");
  expect(stdout).toContain(NODES["cassandra-4"]);
  expect(await Promise.all(four.map(starts))).toEqual(before);
}, 200_000);

test("a name leaves the code: the node hands over its rows first, the others are not touched", async () => {
  const before = await Promise.all(FIRST_THREE.map(starts));
  const smaller = await deployment.changed(ringOf(lab, { keyspaces })).prepare();
  await underLoad(lab, "from 4 to 3 nodes", () => smaller.deploy());
  for (const name of FIRST_THREE) expect(await statesOf(lab.machine(name))).toEqual(ALL_UP);
  expect(await Promise.all(FIRST_THREE.map(starts))).toEqual(before);
  const notes = await notesOf(lab, ["cassandra-4"]);
  expect(notes.map(({ text }) => text)).toContainEqual(expect.stringMatching(/^decommissioned/));
  const { stdout } = await lab.machine("cassandra-4").ssh("systemctl is-active cassandra || true");
  expect(stdout.trim()).not.toBe("active");
}, 600_000);

test("more copies than nodes would be left: told before anything happens", () => {
  deployment.changed(ringOf(lab, { keyspaces, nodes: ["cassandra-1", "cassandra-2"] })).synth();
  expect(
    deployment
      .changed(ringOf(lab, { keyspaces, nodes: ["cassandra-1", "cassandra-2"] }))
      .synth()
      .template?.errors.join(),
  ).toContain("replication-above-nodes");
});

test("a node loses its power: no operation fails", async () => {
  await underLoad(lab, "power cut of a node", async () => {
    const start = performance.now();
    await lab.machine("cassandra-3").cutPower();
    await waitUntil(
      async () => (await statesOf(lab.machine("cassandra-1")))["cassandra-3"] === "DN",
      90,
      () => "the others never took it for dead",
      1000,
    );
    const seconds = (performance.now() - start) / 1000;
    return { ok: true, output: "", seconds, added: 0, changed: 0, destroyed: 0, steps: [] };
  });
}, 200_000);

test("nothing is restarted while a node is down", async () => {
  const before = await starts("cassandra-1");
  const changed = await deployment
    .changed(ringOf(lab, { keyspaces, settings: { compaction_throughput: "32MiB/s" } }))
    .prepare();
  const outcome = await changed.apply();
  figure(`refused while a node is down, after ${outcome.seconds.toFixed(0)} s`);
  expect(outcome.ok).toBe(false);
  expect(outcome.output).toContain(`${NODES["cassandra-3"]} is DN`);
  expect(await starts("cassandra-1")).toBe(before);
}, 300_000);

test("a dead node is replaced: same name, another machine at another address", async () => {
  const address = "10.77.0.65";
  await lab.remove("cassandra-3");
  await lab.add("cassandra-3", nodeSpec(address));
  const before = await Promise.all(["cassandra-1", "cassandra-2"].map(starts));
  const replaced = await deployment.changed(ringOf(lab, { keyspaces }, { "cassandra-3": address })).prepare();
  await underLoad(lab, "a dead node replaced", () => replaced.deploy());
  const names = { ...NODES, "cassandra-3": address };
  for (const name of FIRST_THREE) expect(await statesOf(lab.machine(name), names)).toEqual(ALL_UP);
  expect(await Promise.all(["cassandra-1", "cassandra-2"].map(starts))).toEqual(before);
  const notes = await notesOf(lab, ["cassandra-3"]);
  expect(notes.map(({ text }) => text)).toContain(
    `takes the place of cassandra-3 at ${NODES["cassandra-3"]}, which is dead`,
  );
  // it has every row that was written before it came
  const { stdout } = await lab.machine("cassandra-3").ssh("nodetool repair -full --preview esmond 2>&1");
  expect(stdout).toContain("Previewed data was in sync");
  const peers = await cql(lab.machine("cassandra-1"), "SELECT peer FROM system.peers");
  expect(peers.sort()).toEqual([NODES["cassandra-2"], address]);
}, 600_000);

test("the whole ring goes: stopped, and every row stays where it is", async () => {
  const outcome = await deployment
    .changed(ringOf(lab, { keyspaces }, { "cassandra-3": "10.77.0.65" }))
    .destroy();
  expect(outcome.ok).toBe(true);
  for (const name of FIRST_THREE) {
    const { stdout } = await lab
      .machine(name)
      .ssh("systemctl is-active cassandra; ls -d /var/lib/cassandra/data/esmond/load-*", {
        allowFailure: true,
      });
    expect(stdout).toMatch(/^(inactive|failed|unknown)\n.*esmond\/load-/);
  }
}, 120_000);
