import type { Lab } from "../../machines/lab";
import { waitUntil } from "../../machines/run";
import { Deployment } from "../support/deployment";
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
  startsOf,
  statesOf,
  underLoad,
  VARIABLES,
  untilInSync,
} from "./support/ring-site";

/** Nodes come and go, and one loses its power and is replaced, under a client that writes and reads back all along. */
let lab: Lab;
let deployment: Deployment;
const keyspaces = [{ name: "esmond", replicationFactor: 3 }];
const four = [...FIRST_THREE, "cassandra-4"];

beforeAll(async () => {
  lab = await startRingSite(NODES);
  deployment = new Deployment(`${lab.directory}/deployment`, ringOf(lab, { keyspaces }), VARIABLES);
});
afterAll(() => lab.stop());

test("three nodes deployed", async () => {
  const { seconds } = await deployment.deploy();
  figure(`deploy of three nodes: ${seconds.toFixed(0)} s`);
  for (const name of FIRST_THREE) expect(await statesOf(lab.machine(name))).toEqual(ALL_UP);
}, 1_200_000);

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
}, 1_200_000);

test("terraform is killed while a fourth node joins; the next apply goes on, and the others clean up in turn", async () => {
  const before = await startsOf(lab, FIRST_THREE);
  const larger = await deployment.changed(ringOf(lab, { keyspaces, nodes: four })).prepare();
  const outcome = await underLoad(
    lab,
    "from 3 to 4 nodes, terraform killed in between",
    async () => {
      const killed = await larger.killedWhen(async () => {
        const { stdout } = await lab
          .machine("cassandra-4")
          .ssh("systemctl is-active cassandra; cat /var/lib/cassandra/cdktf-ha-node", { allowFailure: true });
        return stdout.startsWith("active\nNODE_STATE=joining");
      });
      const again = await larger.deploy();
      return { ...again, seconds: killed + again.seconds };
    },
    { nodesChange: true },
  );
  expect(outcome.ok).toBe(true);
  for (const name of four)
    expect(await statesOf(lab.machine(name))).toEqual({ ...ALL_UP, "cassandra-4": "UN" });
  const cleanups = oneAfterTheOther(await notesOf(lab, four), "nodetool cleanup");
  expect(cleanups.map(({ node }) => node).sort()).toEqual(FIRST_THREE);
  expect(await startsOf(lab, FIRST_THREE)).toEqual(before);
  expect(await larger.isUpToDate()).toBe(true);
}, 1_200_000);

test("a node that has joined becomes a seed, without a restart", async () => {
  const before = await startsOf(lab, four);
  await deployment
    .changed(ringOf(lab, { keyspaces, nodes: four, seeds: ["cassandra-1", "cassandra-4"] }))
    .deploy();
  const { stdout } = await lab.machine("cassandra-2").ssh("nodetool getseeds");
  expect(stdout).toContain(NODES["cassandra-4"]);
  expect(await startsOf(lab, four)).toEqual(before);
}, 400_000);

test("a name leaves the code, and terraform is killed: the node hands over its rows, the others are not touched", async () => {
  const before = await startsOf(lab, FIRST_THREE);
  const smaller = await deployment.changed(ringOf(lab, { keyspaces })).prepare();
  const leaving = async (): Promise<boolean> =>
    (await notesOf(lab, ["cassandra-4"])).some(({ text }) => text.startsWith("leaves the ring"));
  // as a leave leaves it that was cut off before the rows began to move: it takes no more requests, and is asked for nothing
  await lab.machine("cassandra-4").ssh("nodetool disablebinary");
  await underLoad(
    lab,
    "from 4 to 3 nodes, terraform killed in between",
    async () => {
      const killed = await smaller.killedWhen(leaving);
      const again = await smaller.deploy();
      return { ...again, seconds: killed + again.seconds };
    },
    { nodesChange: true },
  );
  for (const name of FIRST_THREE) expect(await statesOf(lab.machine(name))).toEqual(ALL_UP);
  expect(await startsOf(lab, FIRST_THREE)).toEqual(before);
  const notes = await notesOf(lab, ["cassandra-4"]);
  expect(notes.filter(({ text }) => text.startsWith("leaves the ring"))).toHaveLength(1);
  expect(notes.map(({ text }) => text)).toContainEqual(expect.stringMatching(/^decommissioned/));
  const { stdout } = await lab.machine("cassandra-4").ssh("systemctl is-active cassandra || true");
  expect(stdout.trim()).not.toBe("active");
}, 1_200_000);

test("a release that cannot read what the node has written is refused, and nothing changes", async () => {
  const node = lab.machine("cassandra-1");
  const { stdout } = await node.ssh("cat /var/lib/cassandra/cdktf-ha-release");
  expect(stdout).toBe("5.0.6\n");
  const before = await startsOf(lab, ["cassandra-1"]);
  await node.ssh("echo 3.11.19 >/var/lib/cassandra/cdktf-ha-release");
  const { ok, output } = await deployment
    .changed(ringOf(lab, { keyspaces, settings: { compaction_throughput: "16MiB/s" } }))
    .apply();
  await node.ssh("echo 5.0.6 >/var/lib/cassandra/cdktf-ha-release");
  expect(ok).toBe(false);
  expect(output).toContain("the whole ring to a release of 4.x first");
  expect(await startsOf(lab, ["cassandra-1"])).toEqual(before);
}, 600_000);

test("a node loses its power: no operation fails", async () => {
  await underLoad(lab, "power cut of a node", async () => {
    const start = performance.now();
    await lab.machine("cassandra-3").cutPower();
    await waitUntil(
      async () => (await statesOf(lab.machine("cassandra-1")))["cassandra-3"] === "DN",
      180,
      () => "the others never took it for dead",
      3000,
    );
    const seconds = (performance.now() - start) / 1000;
    return { ok: true, output: "", seconds, added: 0, changed: 0, destroyed: 0, steps: [] };
  });
}, 400_000);

test("nothing is restarted while a node is down", async () => {
  const before = await startsOf(lab, ["cassandra-1"]);
  const changed = await deployment
    .changed(ringOf(lab, { keyspaces, settings: { compaction_throughput: "32MiB/s" } }))
    .prepare();
  const outcome = await changed.apply();
  figure(`refused while a node is down, after ${outcome.seconds.toFixed(0)} s`);
  expect(outcome.ok).toBe(false);
  expect(outcome.output).toContain(`${NODES["cassandra-3"]} is DN`);
  expect(await startsOf(lab, ["cassandra-1"])).toEqual(before);
}, 600_000);

test("a dead node is replaced: same name, another machine at another address", async () => {
  const address = "10.77.0.65";
  await lab.remove("cassandra-3");
  await lab.add("cassandra-3", nodeSpec(address));
  const before = await startsOf(lab, ["cassandra-1", "cassandra-2"]);
  const replaced = await deployment.changed(ringOf(lab, { keyspaces }, { "cassandra-3": address })).prepare();
  await underLoad(lab, "a dead node replaced", () => replaced.deploy(), { nodesChange: true });
  const names = { ...NODES, "cassandra-3": address };
  for (const name of FIRST_THREE) expect(await statesOf(lab.machine(name), names)).toEqual(ALL_UP);
  expect(await startsOf(lab, ["cassandra-1", "cassandra-2"])).toEqual(before);
  const notes = await notesOf(lab, ["cassandra-3"]);
  expect(notes.map(({ text }) => text)).toContain(
    `takes the place of cassandra-3 at ${NODES["cassandra-3"]}, which is dead`,
  );
  const done = notes.filter(({ text }) => text.startsWith("nodetool repair -full done"));
  expect(done).toHaveLength(1);
  // it has every row that was written before it came
  await untilInSync(lab.machine("cassandra-3"), "esmond");
  const peers = await cql(lab.machine("cassandra-1"), "SELECT peer FROM system.peers");
  expect(peers.sort()).toEqual([NODES["cassandra-2"], address]);
}, 1_200_000);

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
});
