import type { Lab } from "../../machines/lab";
import { Deployment } from "../support/deployment";
import {
  ALL_UP,
  cql,
  FIRST_THREE,
  installed,
  NODES,
  RELEASE,
  ringOf,
  saidAt,
  startRingSite,
  statesOf,
  underLoad,
  VARIABLES,
} from "./support/ring-site";

/** A ring goes from one release to the next, under a client that writes and reads back all along. */
const OLD = "5.0.5";
let lab: Lab;
let deployment: Deployment;
const keyspaces = [{ name: "esmond", replicationFactor: 3 }];

beforeAll(async () => {
  const nodes = Object.fromEntries(FIRST_THREE.map((name) => [name, NODES[name]]));
  lab = await startRingSite(nodes, [OLD, RELEASE]);
  const old = ringOf(lab, { keyspaces, installation: installed(OLD) });
  deployment = new Deployment(`${lab.directory}/deployment`, old, VARIABLES);
}, 120_000);
afterAll(() => lab.stop());

const releases = async (): Promise<string[]> => {
  const query = "SELECT release_version FROM system.local";
  return (await Promise.all(FIRST_THREE.map((name) => cql(lab.machine(name), query)))).flat();
};

test("three nodes of the older release", async () => {
  await deployment.deploy();
  expect(await releases()).toEqual([OLD, OLD, OLD]);
}, 600_000);

test("upgraded: drained and stopped one after the other, each up before the next; no operation fails", async () => {
  const newer = await deployment.changed(ringOf(lab, { keyspaces })).prepare();
  await underLoad(lab, "a rolling upgrade of three nodes", () => newer.deploy());
  expect(await releases()).toEqual([RELEASE, RELEASE, RELEASE]);
  for (const name of FIRST_THREE) {
    expect(await statesOf(lab.machine(name))).toEqual(ALL_UP);
    const { stdout } = await lab.machine(name).ssh("cat /var/lib/cassandra/cdktf-ha-release");
    expect(stdout).toBe(`${RELEASE}\n`);
  }
  const moments: number[] = [];
  for (const name of FIRST_THREE) {
    moments.push(
      await saidAt(lab.machine(name), "DRAINED"),
      await saidAt(lab.machine(name), "Starting listening for CQL clients"),
    );
  }
  expect(moments).not.toContain(NaN);
  expect(moments).toEqual([...moments].sort((a, b) => a - b));
  expect(await newer.isUpToDate()).toBe(true);
}, 600_000);
