import type { Lab } from "../../machines/lab";
import { Deployment } from "../support/deployment";
import {
  ALL_UP,
  FIRST_THREE,
  figure,
  NODES,
  notesOf,
  oneAfterTheOther,
  ringOf,
  startRingSite,
  startsOf,
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

test("three nodes deployed", async () => {
  const { seconds } = await deployment.deploy();
  figure(`deploy of three nodes: ${seconds.toFixed(0)} s`);
}, 600_000);

test("a fourth node cannot get its rows: refused at once with Cassandra's words; nobody notices", async () => {
  const before = await startsOf(lab, FIRST_THREE);
  const larger = await deployment.changed(ringOf(lab, { keyspaces, nodes: four })).prepare();
  const node = lab.machine("cassandra-4");
  // as soon as it has decided whom to ask for rows, there is no way any more to the one that has had them in its rack
  const far = NODES["cassandra-1"];
  const cut = `grep --max-count=1 "for pending range setup" < <(journalctl --follow --lines=0 --unit=cassandra) && ip route add unreachable ${far}`;
  await node.ssh(`systemd-run --quiet --collect --unit=cut bash -c '${cut}'`);
  const outcome = await underLoad(lab, "a bootstrap that fails", () => larger.apply());
  await node.ssh(`ip route del unreachable ${far}`);
  expect(outcome.ok).toBe(false);
  expect(outcome.output).toContain("the node could not get its rows; the next apply begins again");
  expect(outcome.output).toContain("Some data streaming failed");
  const { stdout } = await node.ssh("systemctl is-active cassandra || true");
  expect(stdout.trim()).not.toBe("active");
  expect(await startsOf(lab, FIRST_THREE)).toEqual(before);
}, 600_000);

test("terraform is killed while a fourth node joins; the next apply goes on, and the others clean up in turn", async () => {
  const before = await startsOf(lab, FIRST_THREE);
  const larger = await deployment.changed(ringOf(lab, { keyspaces, nodes: four })).prepare();
  const outcome = await underLoad(lab, "from 3 to 4 nodes, terraform killed in between", async () => {
    const killed = await larger.killedWhen(async () => {
      const { stdout } = await lab
        .machine("cassandra-4")
        .ssh("systemctl is-active cassandra; cat /var/lib/cassandra/cdktf-ha-node", { allowFailure: true });
      return stdout.startsWith("active\nNODE_STATE=joining");
    });
    const again = await larger.deploy();
    return { ...again, seconds: killed + again.seconds };
  });
  expect(outcome.ok).toBe(true);
  for (const name of four)
    expect(await statesOf(lab.machine(name))).toEqual({ ...ALL_UP, "cassandra-4": "UN" });
  const cleanups = oneAfterTheOther(await notesOf(lab, four), "nodetool cleanup");
  expect(cleanups.map(({ node }) => node).sort()).toEqual(FIRST_THREE);
  expect(await startsOf(lab, FIRST_THREE)).toEqual(before);
  expect(await larger.isUpToDate()).toBe(true);
}, 600_000);

test("a node that has joined becomes a seed, without a restart", async () => {
  const before = await startsOf(lab, four);
  await deployment
    .changed(ringOf(lab, { keyspaces, nodes: four, seeds: ["cassandra-1", "cassandra-4"] }))
    .deploy();
  const { stdout } = await lab.machine("cassandra-2").ssh("nodetool getseeds");
  expect(stdout).toContain(NODES["cassandra-4"]);
  expect(await startsOf(lab, four)).toEqual(before);
}, 200_000);

test("a name leaves the code, and terraform is killed: the node hands over its rows, the others are not touched", async () => {
  const before = await startsOf(lab, FIRST_THREE);
  const smaller = await deployment.changed(ringOf(lab, { keyspaces })).prepare();
  const leaving = async (): Promise<boolean> =>
    (await notesOf(lab, ["cassandra-4"])).some(({ text }) => text.startsWith("leaves the ring"));
  await underLoad(lab, "from 4 to 3 nodes, terraform killed in between", async () => {
    const killed = await smaller.killedWhen(leaving);
    const again = await smaller.deploy();
    return { ...again, seconds: killed + again.seconds };
  });
  for (const name of FIRST_THREE) expect(await statesOf(lab.machine(name))).toEqual(ALL_UP);
  expect(await startsOf(lab, FIRST_THREE)).toEqual(before);
  const notes = await notesOf(lab, ["cassandra-4"]);
  expect(notes.filter(({ text }) => text.startsWith("leaves the ring"))).toHaveLength(1);
  expect(notes.map(({ text }) => text)).toContainEqual(expect.stringMatching(/^decommissioned/));
  const { stdout } = await lab.machine("cassandra-4").ssh("systemctl is-active cassandra || true");
  expect(stdout.trim()).not.toBe("active");
}, 600_000);
