import { figure } from "./support/ring-site";
import { NfsLab } from "./support/nfs/nfs-lab";
import { NfsWriter } from "./support/nfs/nfs-writer";
import { nodeMachine, nfsSite, other, SECRETS, serving, type NodeName } from "./support/nfs/nfs-site";
import { waitUntil } from "../../machines/run";

/** An NFS pair's life on virtual machines: what is done to real disks and to DRBD itself while a client writes. */
// Translated by QEMU: ten times slower than real machines.
jest.setTimeout(1_500_000);

let nfs: NfsLab;
const replaced: Partial<Record<NodeName, string>> = {};

beforeAll(async () => {
  nfs = await NfsLab.start();
  await nfs.deployment.deploy();
  await nfs.settled();
});
afterAll(() => nfs.stop());

const bytes = async (node: string, device: string): Promise<number> =>
  Number(
    (await nfs.lab.machine(node).ssh(`lsblk --bytes --nodeps --noheadings --output SIZE ${device}`)).stdout,
  );

test("once both disks are larger the volume and its file system are, while they serve", async () => {
  const before = await bytes("nfs-1", "/dev/drbd0");
  const { active, written, switched } = await nfs.trial("both disks grow", async (one, two) => {
    await one.growDataDisk(448);
    await one.ssh("systemctl start cdktf-ha-nfs-upkeep.service", { timeoutSeconds: 300 });
    expect(await bytes(one.name, "/dev/drbd0")).toBe(before);
    await two.growDataDisk(448);
    const larger = async (): Promise<boolean> =>
      (await bytes(one.name, "/dev/drbd0")) > before + 60 * 1024 * 1024;
    await waitUntil(larger, 400, () => "the volume has not grown", 3000);
    await nfs.settled();
    expect(await bytes(two.name, "/dev/drbd0")).toBe(await bytes(one.name, "/dev/drbd0"));
    const fileSystem = async (): Promise<boolean> =>
      Number((await one.ssh("df --output=size --block-size=1M /srv/nfs | tail -n 1")).stdout) > 400;
    await waitUntil(fileSystem, 200, () => "the file system has not grown", 3000);
  });
  expect(switched).toEqual([]);
  await nfs.servesNow(active);
  figure(`both disks grow: the client's longest gap is ${written.longestGap.toFixed(1)} s`);
  await nfs.copiesAreEqual();
  expect(await nfs.deployment.isUpToDate()).toBe(true);
});

test("what differs is found by the comparison, and mended as its message says", async () => {
  const standby = other(await serving(nfs.lab), nfs.lab);
  const { switched } = await nfs.trial("the copies differ", async (_, two) => {
    // 4 KiB that nobody uses, behind DRBD's back
    await two.ssh("dd if=/dev/urandom of=/dev/vdb bs=4096 count=1 seek=25000 oflag=direct conv=notrunc");
    const { code } = await two.ssh("systemctl start cdktf-ha-nfs-verify.service", {
      allowFailure: true,
      timeoutSeconds: 600,
    });
    expect(code).not.toBe(0);
    const { stdout } = await two.ssh("journalctl --unit cdktf-ha-nfs-verify --output cat");
    expect(stdout).toContain("the copies differ in 4 KiB");
    const advice = /drbdadm disconnect .* && drbdadm connect \S+/.exec(stdout)![0];
    await two.ssh(advice);
  });
  expect(switched).toEqual([]);
  await nfs.settled();
  await nfs.copiesAreEqual();
  await standby.ssh("systemctl start cdktf-ha-nfs-verify.service", { timeoutSeconds: 600 });
});

test("copies that have gone apart: an apply says so, and a person decides by the two commands", async () => {
  const active = await serving(nfs.lab);
  const standby = other(active, nfs.lab);
  const writer = await NfsWriter.start(nfs.lab.machine("client"));
  // a person who takes the standby's copy into use by hand, past everything that stands against it
  await standby.ssh(
    `set -e
    crm_attribute --name maintenance-mode --update true
    drbdadm disconnect nfs
    drbdsetup disk-options 0 --fencing=dont-care
    drbdadm primary --force nfs
    mount /dev/drbd0 /mnt && echo "only here" >/mnt/exports/assets/apart && umount /mnt
    drbdadm secondary nfs
    drbdadm adjust nfs`,
    { timeoutSeconds: 200 },
  );
  const apart = async (): Promise<boolean> => (await nfs.copies(standby)).startsWith("StandAlone");
  await waitUntil(apart, 60, () => "DRBD has not noticed", 1000);
  await standby.ssh("crm_attribute --name maintenance-mode --delete");
  await writer.untilWrites(60);
  expect(await writer.stop()).toMatchObject({ error: "", lost: [] });
  replaced[standby.name as NodeName] = "looked at";
  const refused = await nfs.deployment.changed(nfsSite(nfs.lab, { generations: replaced })).apply();
  expect(refused.ok).toBe(false);
  expect(refused.output).toContain("StandAlone");
  const shown = await standby.ssh("nfs-pair-split", { timeoutSeconds: 120 });
  expect(shown.stdout).toMatch(/connection +StandAlone/);
  expect(shown.stdout).toMatch(/bytes \/exports\/assets\/apart/);
  const kept = await active.ssh("echo nfs | nfs-pair-split discard", { allowFailure: true });
  expect([kept.code, kept.stderr]).toEqual([1, expect.stringContaining("this node serves from this copy")]);

  const { switched } = await nfs.trial("a person decides", async (one, two) => {
    await two.ssh(`echo ${two.name} | nfs-pair-split discard`, { timeoutSeconds: 120 });
    await one.ssh("nfs-pair-split keep", { timeoutSeconds: 120 });
    await nfs.settled();
  });
  expect(switched).toEqual([]);
  expect((await active.ssh("ls /srv/nfs/exports/assets")).stdout).not.toContain("apart");
  await nfs.copiesAreEqual();
  await nfs.deployment.changed(nfsSite(nfs.lab, { generations: replaced })).deploy();
});

test("another machine in the standby's place, with an empty disk, copies everything and can serve", async () => {
  const standby = other(await serving(nfs.lab), nfs.lab);
  const name = standby.name as NodeName;
  replaced[name] = "2";
  const { switched } = await nfs.trial("the standby is replaced", async () => {
    await standby.ssh("systemctl stop pacemaker corosync-qdevice corosync", { timeoutSeconds: 300 });
    await nfs.lab.remove(name);
    const next = await nfs.lab.add(name, nodeMachine(name, 448));
    await nfs.watch.of(next);
    const { seconds } = await nfs.deployment.changed(nfsSite(nfs.lab, { generations: replaced })).deploy();
    figure(`another machine in ${name}'s place: ${seconds.toFixed(0)} s`);
    await nfs.settled();
  });
  expect(switched).toEqual([]);
  await nfs.copiesAreEqual();
  await nfs.trial("switchover to the new machine", (active) =>
    active.ssh("nfs-pair-switchover", { timeoutSeconds: 300 }),
  );
  expect((await serving(nfs.lab)).name).toBe(name);
  await nfs.settled();
});

test("another secret: the apply is killed half way, the standby loses power, and the apply is done again", async () => {
  const secrets = { ...SECRETS, "pair-secret": "what-both-nodes-prove-from-now-on" };
  const keys = (): Promise<string[]> =>
    Promise.all(nfs.nodes.map(async (node) => (await node.ssh("sha256sum /etc/corosync/authkey*")).stdout));
  const before = await keys();
  const { active, written, switched } = await nfs.trial("another secret", async (_, two) => {
    const changed = nfs.deployment.changed(
      nfsSite(nfs.lab, { generations: replaced, secretVersion: "2" }),
      secrets,
    );
    await changed.prepare();
    await changed.killedWhen((output) => output.includes(`[${two.name} pacemaker] `), { seconds: 900 });
    const since = Date.now();
    await two.cutPower();
    await nfs.switchedOff(two, since);
    await waitUntil(
      () => two.isOn,
      120,
      () => `${two.name} is not switched on`,
    );
    await two.untilReady();
    const { seconds } = await changed.deploy();
    figure(`another secret: ${seconds.toFixed(0)} s`);
    await nfs.settled();
  });
  expect(switched).toEqual([`off ${other(active, nfs.lab).name}`]);
  await nfs.servesNow(active);
  figure(`another secret: the client's longest gap is ${written.longestGap.toFixed(1)} s`);
  await waitUntil(
    async () => (await keys()).every((files) => files.trim().split("\n").length === 1),
    200,
    () => "not through",
    3000,
  );
  const [one, two] = await keys();
  expect(two).toBe(one);
  expect(before).not.toContain(one);
  // DRBD proves the new one
  await other(active, nfs.lab).ssh("drbdadm disconnect nfs; drbdadm connect nfs");
  await nfs.settled();
  await nfs.copiesAreEqual();
});
