import { setTimeout as delay } from "node:timers/promises";
import { Peer } from "cdktf-ha-clusters";
import type { Lab, LabMachine } from "../../machines/lab";
import { PowerSwitch } from "../../machines/power-switch";
import { waitUntil } from "../../machines/run";
import { Deployment, type Outcome } from "../support/deployment";
import { figure } from "./support/ring-site";
import {
  MOUNTED,
  nfsSite,
  NODES,
  other,
  SECRETS,
  serving,
  startNfsLab,
  SWITCH,
} from "./support/nfs/nfs-site";
import { NfsWriter, type Written } from "./support/nfs/nfs-writer";
import { NodeWatch } from "./support/nfs/node-watch";

/** An NFS pair on virtual machines: real DRBD, the kernel's NFS server, a client that writes while everything happens. */
// Translated by QEMU, and beside other tests: ten times slower than real machines.
jest.setTimeout(1_500_000);

let lab: Lab;
let power: PowerSwitch;
let watch: NodeWatch;
let deployment: Deployment;
let first: Outcome;

const machines = (): LabMachine[] => NODES.map((name) => lab.machine(name));

beforeAll(async () => {
  lab = await startNfsLab();
  power = await PowerSwitch.start(lab, {
    address: SWITCH,
    password: SECRETS["switch-password"],
    machines: NODES,
    // a node that boots at once takes the processor from the one that takes over
    firmwareSeconds: 25,
  });
  watch = await NodeWatch.start(machines());
  deployment = new Deployment(`${lab.directory}/deployment`, nfsSite(lab), SECRETS);
  first = await deployment.deploy();
});
afterAll(async () => {
  watch.stop();
  await power.stop();
  await lab.stop();
});

/** What a node knows of both copies: `Connected UpToDate/UpToDate`. */
const copies = async (node: LabMachine): Promise<string> =>
  (await node.ssh("drbdadm cstate nfs; drbdadm dstate nfs", { allowFailure: true })).stdout
    .trim()
    .replace("\n", " ");

/** Waits until both nodes are members, both copies are good, and everything runs again. */
async function settled(): Promise<void> {
  const active = await serving(lab);
  let seen = "";
  await waitUntil(
    async () => {
      const { stdout } = await active.ssh("crm_mon --one-shot --inactive", { allowFailure: true });
      seen = `${await copies(active)}\n${stdout}`;
      return (
        seen.startsWith("Connected UpToDate/UpToDate") &&
        stdout.includes("Online: [ nfs-1 nfs-2 ]") &&
        !stdout.includes("Stopped")
      );
    },
    600,
    () => `not settled: ${seen}`,
    3000,
  );
}

/** The same bytes on both, besides DRBD's own notes behind them. */
async function copiesAreEqual(): Promise<void> {
  const active = await serving(lab);
  const { stdout } = await active.ssh("sync; cat /sys/block/drbd0/size");
  const [one, two] = NODES.map((name) => `${lab.directory}/machines/${name}/data1.raw`);
  const compare = async (): Promise<boolean> =>
    (await lab.run("cmp", ["-n", `${512 * Number(stdout)}`, one!, two!], { allowFailure: true })).code === 0;
  await waitUntil(compare, 30, () => "the copies differ", 1000);
}

interface Trial {
  readonly active: LabMachine;
  readonly standby: LabMachine;
  readonly written: Written;
  /** What the power switch did since. */
  readonly switched: readonly string[];
}

/** Something happens to the node that serves while the client writes. Whatever it is, nothing may be lost, and never may both write. */
async function trial(
  what: string,
  happens: (active: LabMachine, standby: LabMachine, writer: NfsWriter) => Promise<unknown>,
): Promise<Trial> {
  const active = await serving(lab);
  const standby = other(active, lab);
  const writer = await NfsWriter.start(lab.machine("client"));
  const [since, asked] = [Date.now(), power.requests.length];
  await happens(active, standby, writer);
  await writer.untilWrites(400);
  const written = await writer.stop();
  const { acknowledged, longestGap, lost } = written;
  figure(
    `${what}: gap ${longestGap.toFixed(1)} s, ${lost.length} of ${acknowledged} acknowledged writes lost, ` +
      `two writers for ${watch.secondsOfTwoWriters(since)} s\n  ${watch.changes(since).join("\n  ")}`,
  );
  expect(written.error).toBe("");
  expect(lost).toEqual([]);
  expect(watch.secondsOfTwoWriters(since)).toBe(0);
  const switched = power.requests
    .slice(asked)
    .filter(({ request, answer }) => request.startsWith("off") && answer === "ok")
    .map(({ request }) => request);
  return { active, standby, written, switched };
}

test("empty disks become a pair that serves, and a second plan finds nothing to do", async () => {
  figure(`deployed in ${first.seconds.toFixed(0)} s`);
  expect(first.steps.join("\n")).toContain("healthy");
  await settled();
  for (const node of machines()) expect(await copies(node)).toBe("Connected UpToDate/UpToDate");
  expect(await deployment.isUpToDate()).toBe(true);
  const { stdout } = await lab.machine("client").ssh(`findmnt --noheadings --output OPTIONS ${MOUNTED}`);
  expect(stdout).toContain("vers=4.2");
  expect(stdout).toContain("hard");
});

test("a planned switchover is a pause for the client, who keeps its lock", async () => {
  const { standby, written, switched } = await trial("switchover", async (active) => {
    await active.ssh("nfs-pair-switchover", { timeoutSeconds: 300 });
  });
  expect((await serving(lab)).name).toBe(standby.name);
  expect(switched).toEqual([]);
  expect(written.longestGap).toBeLessThan(120);
  await settled();
});

test("the serving node's power cut loses nothing, and the dead one comes back as the standby", async () => {
  const { active, standby, switched } = await trial("power cut", (node) => node.cutPower());
  expect((await serving(lab)).name).toBe(standby.name);
  expect(switched).toEqual([`off ${active.name}`]);
  await settled();
  expect((await active.ssh("drbdadm role nfs")).stdout).toBe("Secondary/Primary\n");
  await copiesAreEqual();
});

/** Waits until the power switch has switched a node off. */
const switchedOff = (node: LabMachine, since: number): Promise<void> =>
  waitUntil(
    () =>
      power.requests.some(
        ({ at, request, answer }) => at >= since && request === `off ${node.name}` && answer === "ok",
      ),
    300,
    () => `${node.name} is not switched off`,
    500,
  );

test.each([
  ["neither hears the other", false],
  ["the standby does not hear the one that serves", true],
])(
  "the network between the nodes is cut so that %s: the one that serves goes on, the other is switched off",
  async (what, oneWay) => {
    const { active, standby, switched } = await trial(what, async (one, two) => {
      const since = Date.now();
      await lab.partition([one.name], [two.name], { oneWay });
      await switchedOff(two, since);
    });
    expect(switched).toEqual([`off ${standby.name}`]);
    expect((await serving(lab)).name).toBe(active.name);
    await lab.heal();
    await settled();
  },
);

test("every path of the serving node is cut: it stops, is switched off, and the other one serves", async () => {
  const { active, standby, switched } = await trial("all paths of the serving node", async (one, two) => {
    const since = Date.now();
    await lab.partition([one.name], [two.name, "vote", "client"]);
    await switchedOff(one, since);
  });
  expect(switched).toEqual([`off ${active.name}`]);
  expect((await serving(lab)).name).toBe(standby.name);
  await lab.heal();
  await settled();
  await copiesAreEqual();
});

test("the clients' network is gone at the serving node, the second one is not: the service is handed over", async () => {
  const { active, standby, switched } = await trial("clients' cable of the serving node", (one) =>
    one.unplug(),
  );
  expect(switched).toEqual([]);
  expect((await serving(lab)).name).toBe(standby.name);
  await active.plug();
  await settled();
});

test("a power switch that hangs: nobody takes over before it is certain, and soon after", async () => {
  let answers = 0;
  const { standby } = await trial("power cut while the switch hangs", async (one, two) => {
    await power.set("hangs");
    const since = Date.now();
    await one.cutPower();
    await delay(60_000);
    expect(watch.changes(since).filter((change) => change.includes(`${two.name} Primary`))).toEqual([]);
    expect((await two.ssh("crm_mon --one-shot")).stdout).toContain("UNCLEAN");
    await power.set("works");
    answers = Date.now();
  });
  figure(
    `the service is back ${((Date.now() - answers) / 1000).toFixed(0)} s after the switch answers again`,
  );
  expect((await serving(lab)).name).toBe(standby.name);
  await settled();
});

test("without the quorum host, without its disk and without its NFS server's threads a node goes on serving", async () => {
  const vote = lab.machine("vote");
  const { active, switched } = await trial("quorum host dead", async () => {
    await vote.cutPower();
    await delay(20_000);
  });
  await vote.powerOn();
  expect(switched).toEqual([]);
  expect((await serving(lab)).name).toBe(active.name);
  await trial("disk of the serving node let go", async (node) => {
    await node.ssh("drbdadm detach nfs");
    expect(await copies(node)).toBe("Connected Diskless/UpToDate");
    await delay(10_000);
  });
  await active.ssh("drbdadm adjust nfs");
  await settled();
  await trial("no thread of the NFS server is left", (node) => node.ssh("echo 0 >/proc/fs/nfsd/threads"));
  await settled();
});

test("killed membership of the serving node: it is switched off, and the other one serves", async () => {
  const { active, standby, switched } = await trial("corosync killed", (node) =>
    node.ssh("pkill -KILL -x corosync"),
  );
  expect(switched).toEqual([`off ${active.name}`]);
  expect((await serving(lab)).name).toBe(standby.name);
  await settled();
  await copiesAreEqual();
});

test("an apply that is killed and done again adds an export; a changed secret is refused: the client notices neither", async () => {
  const more = {
    exports: [
      { name: "assets", squash: "none" as const },
      { name: "more", clients: [Peer.cidr("10.77.0.31")] },
    ],
  };
  const { written } = await trial("an export more, applied twice, and a refused secret", async () => {
    const changed = deployment.changed(nfsSite(lab, more));
    await changed.prepare();
    await changed.killedWhen((output) => output.includes("nfs-server] "));
    await changed.deploy();
    const wrong = deployment.changed(nfsSite(lab, { ...more, secretVersion: "2" }), {
      ...SECRETS,
      "pair-secret": "something else altogether",
    });
    const refused = await wrong.apply();
    expect(refused.ok).toBe(false);
    expect(refused.output).toContain("the secret is another one");
  });
  expect(written.longestGap).toBeLessThan(20);
  const { stdout } = await lab
    .machine("client")
    .ssh(
      `mount -t nfs4 10.77.0.100:/srv/nfs/exports/more /mnt && findmnt --noheadings --output SOURCE /mnt; umount /mnt`,
    );
  expect(stdout).toBe("10.77.0.100:/srv/nfs/exports/more\n");
});
