import { spawn } from "node:child_process";
import { once } from "node:events";
import type { Lab } from "../../machines/lab";
import { waitUntil } from "../../machines/run";
import { Deployment, type Outcome } from "../support/deployment";
import {
  ALL_UP,
  FIRST_THREE,
  figure,
  NODES,
  notesOf,
  oneAfterTheOther,
  ringOf,
  startRingSite,
  statesOf,
  underLoad,
  VARIABLES,
} from "./support/ring-site";

/** Nodes come and go, under a client that writes and reads back all along. */
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

test("a name leaves the code, and terraform is killed: the node hands over its rows, the others are not touched", async () => {
  const before = await Promise.all(FIRST_THREE.map(starts));
  const smaller = await deployment.changed(ringOf(lab, { keyspaces })).prepare();
  const leaving = async (): Promise<boolean> =>
    (await notesOf(lab, ["cassandra-4"])).some(({ text }) => text.startsWith("leaves the ring"));
  await underLoad(lab, "from 4 to 3 nodes, terraform killed in between", async () => {
    const killed = await killedWhen(smaller, leaving);
    const again = await smaller.deploy();
    return { ...again, seconds: killed.seconds + again.seconds };
  });
  for (const name of FIRST_THREE) expect(await statesOf(lab.machine(name))).toEqual(ALL_UP);
  expect(await Promise.all(FIRST_THREE.map(starts))).toEqual(before);
  const notes = await notesOf(lab, ["cassandra-4"]);
  expect(notes.filter(({ text }) => text.startsWith("leaves the ring"))).toHaveLength(1);
  expect(notes.map(({ text }) => text)).toContainEqual(expect.stringMatching(/^decommissioned/));
  const { stdout } = await lab.machine("cassandra-4").ssh("systemctl is-active cassandra || true");
  expect(stdout.trim()).not.toBe("active");
}, 600_000);
