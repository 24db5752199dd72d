import { CassandraVersion, type CassandraRingProps } from "cdktf-ha-clusters";
import type { TerraformStack } from "cdktf";
import type { Lab } from "../../machines/lab";
import { waitUntil } from "../../machines/run";
import { Deployment } from "../support/deployment";
import {
  nodeSpec,
  notesOf,
  oneAfterTheOther,
  ringRack,
  smallRing,
  startRingSite,
  statesOf,
  underLoad,
  VARIABLES,
  untilInSync,
} from "./support/ring-site";

/** Two datacenters in two subnets: the second one is added, cut off, and taken away again. */
const HERE = { "here-1": "10.77.0.61", "here-2": "10.77.0.62" };
const THERE = { "there-1": "10.78.0.61", "there-2": "10.78.0.62" };
const ALL = { ...HERE, ...THERE };
let lab: Lab;
let deployment: Deployment;

/** Copies in each datacenter; the ring has those that are named, and `there` its nodes while it is one of them. */
const ring =
  (copies: Readonly<Record<string, number>>, there: boolean) =>
  (stack: TerraformStack): void => {
    const hosts = (
      all: Readonly<Record<string, string>>,
    ): Record<string, { address: string; zone: string }> =>
      Object.fromEntries(
        Object.entries(all).map(([name, address], index) => [
          name,
          { address: `${address}/24`, zone: `rack-${index + 1}` },
        ]),
      );
    // a platform stays in the code until its last machine has left
    const [near, far] = [
      ringRack(stack, lab, hosts(HERE), "here"),
      ringRack(stack, lab, hosts(THERE), "there", "10.78.0.1"),
    ];
    const datacenters: CassandraRingProps["datacenters"] = {
      here: { platform: near, nodes: Object.keys(HERE) },
      ...(there ? { there: { platform: far, nodes: Object.keys(THERE) } } : {}),
    };
    smallRing(stack, {
      version: CassandraVersion.V5_0,
      datacenters,
      keyspaces: [{ name: "esmond", replicationFactor: copies }],
    });
  };
const load = {
  contactPoints: Object.values(HERE),
  datacenter: "here",
};
const states = (node: string): Promise<Record<string, string>> => statesOf(lab.machine(node), ALL);

beforeAll(async () => {
  lab = await startRingSite(HERE);
  for (const [name, address] of Object.entries(THERE)) await lab.add(name, nodeSpec(address));
  deployment = new Deployment(`${lab.directory}/deployment`, ring({ here: 2 }, false), VARIABLES);
});
afterAll(() => lab.stop());

test("one datacenter, then a second one in another subnet, with copies of its own", async () => {
  await deployment.deploy();
  const nodes = await deployment.changed(ring({ here: 2, there: 2 }, true)).prepare();
  await underLoad(lab, "a datacenter added", () => nodes.deploy(), load);
  for (const name of Object.keys(ALL)) {
    expect(await states(name)).toEqual({ "here-1": "UN", "here-2": "UN", "there-1": "UN", "there-2": "UN" });
  }
  oneAfterTheOther(await notesOf(lab, Object.keys(ALL)), "nodetool repair -full");
  await untilInSync(lab.machine("there-1"), "esmond");
}, 1_200_000);

test("one datacenter is cut off: LOCAL_QUORUM goes on in the other", async () => {
  await underLoad(
    lab,
    "a datacenter cut off",
    async () => {
      const start = performance.now();
      await lab.partition(Object.keys(HERE), Object.keys(THERE));
      await waitUntil(
        async () => Object.values(await states("here-1")).filter((state) => state === "DN").length === 2,
        120,
        () => "the other datacenter is not taken for dead",
        3000,
      );
      await lab.heal();
      await waitUntil(
        async () => Object.values(await states("here-1")).every((state) => state === "UN"),
        180,
        () => "the datacenters do not find each other again",
        3000,
      );
      const seconds = (performance.now() - start) / 1000;
      return { ok: true, output: "", seconds, added: 0, changed: 0, destroyed: 0, steps: [] };
    },
    load,
  );
}, 1_200_000);

test("a datacenter goes: its copies first, then its nodes", async () => {
  const early = await deployment.changed(ring({ here: 2 }, false)).apply();
  expect(early.ok).toBe(false);
  expect(early.output).toMatch(/still has copies in there|has 2 copies in there/);
  await deployment.changed(ring({ here: 2, there: 0 }, true)).deploy();
  const gone = await deployment.changed(ring({ here: 2 }, false)).prepare();
  await underLoad(lab, "a datacenter removed", () => gone.deploy(), load);
  for (const name of Object.keys(HERE))
    expect(await states(name)).toEqual({ "here-1": "UN", "here-2": "UN" });
}, 1_200_000);
