// The pair of 2008 on virtual machines: it moves as it should, and splits as it did. Run as:
// machines/sealed.sh npx jest -c test/machines/jest.config.js nfs-heartbeat
import { setTimeout as sleep } from "node:timers/promises";
import type { LabMachine } from "../../machines/lab";
import { waitUntil } from "../../machines/run";
import { filesThatHold } from "./support/disclosure";
import {
  answersNfs,
  EXPORT,
  HeartbeatSite,
  QUOTA_MIB,
  rests,
  SECRET,
  serves,
} from "./support/heartbeat-pair";

// Translated by QEMU and beside other tests, what takes a second elsewhere can take half a minute.
jest.setTimeout(900_000);

let site: HeartbeatSite;

beforeAll(async () => {
  site = await HeartbeatSite.start();
});
afterAll(() => site.lab.stop());

/** Given to the volume when it comes to a node. */
async function hasQuota(node: LabMachine): Promise<void> {
  let report = "";
  await waitUntil(
    async () => {
      ({ stdout: report } = await node.ssh("xfs_quota -x -c 'report -p -b' /srv/nfs"));
      return report.includes(` ${QUOTA_MIB * 1024} `);
    },
    90,
    () => `no quota: ${report}`,
    2000,
  );
}

const figure = (text: string): void => console.log(`[figure] ${text}`);

test("deployed from empty disks: one serves, and nothing is left to do", async () => {
  const { one, two, deployment } = site;
  await deployment.deploy();
  const [atOne, atTwo] = await site.views();
  expect(atOne).toMatchObject({ roles: "Primary/Secondary", disks: "UpToDate/UpToDate" });
  expect([serves(atOne!), rests(atTwo!)]).toEqual([true, true]);
  expect(await answersNfs()).toBe(true);
  expect(await deployment.isUpToDate()).toBe(true);
  await hasQuota(one);
  expect((await one.ssh("stat --format='%a %U' /etc/ha.d/authkeys")).stdout).toBe("600 root\n");
  expect(await filesThatHold(two, SECRET, "root")).toContain("/etc/ha.d/authkeys");
  expect(await filesThatHold(two, SECRET, "anybody")).toEqual([]);
});

test("a planned takeover and the way back: silence, and then the same files", async () => {
  const { one, two } = site;
  const write = `echo before >${EXPORT}/file && nfs-pair-switchover`;
  const there = await site.gap(
    () => one.ssh(write, { timeoutSeconds: 300 }),
    async () => serves(await site.view(two)),
  );
  expect(rests(await site.view(one))).toBe(true);
  expect((await two.ssh(`cat ${EXPORT}/file`)).stdout).toBe("before\n");
  const back = await site.gap(
    () => one.ssh("/usr/share/heartbeat/hb_takeover all"),
    async () => serves(await site.view(one)) && rests(await site.view(two)),
  );
  figure(
    `planned: ${there.toFixed(1)} s there (nfs-pair-switchover), ${back.toFixed(1)} s back (hb_takeover)`,
  );
});

test("the active node's power cut: the other one serves; the dead one comes back as secondary, and takes nothing", async () => {
  const { one, two } = site;
  await one.ssh(`echo written >${EXPORT}/file && sync ${EXPORT}/file`);
  const silent = await site.gap(
    () => one.cutPower(),
    async () => serves(await site.view(two)),
  );
  expect((await two.ssh(`cat ${EXPORT}/file`)).stdout).toBe("written\n");
  await one.powerOn();
  await one.untilReady();
  const isMember = async (): Promise<boolean> =>
    (await one.ssh("cl_status nodestatus nfs-2", { allowFailure: true })).stdout === "active\n";
  await waitUntil(
    async () => (await isMember()) && (await site.view(one)).disks === "UpToDate/UpToDate",
    300,
    () => "nfs-1 has not come back",
    2000,
  );
  expect(rests(await site.view(one))).toBe(true);
  expect(serves(await site.view(two))).toBe(true);
  figure(`power cut: ${silent.toFixed(1)} s`);
});

test("the path between the two is cut as in 2008: both serve and both write, and a person has to choose", async () => {
  const { one, two, lab } = site;
  await lab.partition(["nfs-1"], ["nfs-2"]);
  const cut = performance.now();
  await site.takeOrders(two);
  await waitUntil(
    async () => serves(await site.view(one)),
    240,
    () => "nfs-1 has not taken over",
    500,
  );
  const second = performance.now();
  await site.takeOrders(one);
  await sleep(10_000);
  const views = await site.views();
  expect(views.map(serves)).toEqual([true, true]);
  expect(views.map(({ roles }) => roles)).toEqual(["Primary/Unknown", "Primary/Unknown"]);
  const writers = (performance.now() - second) / 1000;
  await site.stopOrders();
  figure(
    `nfs-1 serves as well ${((second - cut) / 1000).toFixed(1)} s after the cut; two writers for ${writers.toFixed(1)} s`,
  );

  await lab.heal();
  await waitUntil(
    async () => (await site.views()).every(({ connection }) => connection === "StandAlone"),
    240,
    () => "DRBD has not noticed that the data differ",
    2000,
  );
  // what docs/drbd-nfs-pair.md tells to do
  const both = (script: string): Promise<unknown> =>
    Promise.all([one, two].map((machine) => machine.ssh(script, { timeoutSeconds: 400 })));
  await both("systemctl stop heartbeat");
  expect((await site.views()).map(({ connection }) => connection)).toEqual(["StandAlone", "StandAlone"]);
  const [atOne, atTwo] = [await site.orders(one), await site.orders(two)];
  expect([Object.keys(atOne), Object.keys(atTwo)]).toEqual([["nfs-1"], ["nfs-2"]]);
  figure(`orders on one side only: ${atOne["nfs-1"]} and ${atTwo["nfs-2"]}`);
  await one.ssh("drbdadm disconnect nfs; drbdadm connect --discard-my-data nfs");
  await two.ssh("drbdadm connect nfs");
  await waitUntil(
    async () => (await site.views()).every(({ disks }) => disks === "UpToDate/UpToDate"),
    120,
    () => "nfs-1 has not caught up",
    1000,
  );
  expect(await site.orders(one)).toEqual(atTwo);
});
