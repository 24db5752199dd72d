import { setTimeout as delay } from "node:timers/promises";
import type { LabMachine } from "../../machines/lab";
import { waitUntil } from "../../machines/run";
import { Fencing } from "../../lib/drbd-nfs-pair/fencing";
import { figure } from "./support/ring-site";
import { NfsLab } from "./support/nfs/nfs-lab";
import { MOUNTED, serving } from "./support/nfs/nfs-site";

/** A single server becomes a pair whose nodes nobody can switch off but their own watchdogs, on virtual machines. */
// Translated by QEMU: ten times slower than real machines.
jest.setTimeout(1_500_000);

const TOKEN = 6;
/** Five times that, and 10. */
const WATCHDOG = 40;
/** MiB, of a volume of more than 300. */
const QUOTA = 64;
/** MiB that the single server had. */
const KEPT = 20;
let nfs: NfsLab;

beforeAll(async () => {
  nfs = await NfsLab.start({
    fencing: Fencing.watchdog({ software: true }),
    token: TOKEN,
    fileSystem: "xfs",
    exports: [{ name: "assets", squash: "none", quotaGiB: QUOTA / 1024 }],
    adopt: { node: "nfs-1", export: "assets" },
    metrics: {},
  });
  // 4 MiB less than the disk has, for DRBD's notes
  await nfs.lab.machine("nfs-1").ssh(
    `set -e
    mkfs.xfs -q -d size=380m /dev/vdb
    mount /dev/vdb /mnt
    mkdir /mnt/2008 && echo moustache >/mnt/2008/kept
    dd if=/dev/urandom of=/mnt/large bs=1M count=${KEPT} 2>/dev/null
    umount /mnt`,
    { timeoutSeconds: 200 },
  );
});
afterAll(() => nfs.stop());

/** Nothing while it cannot be told: a connection to a machine that is reset just then hangs. */
const bootOf = (node: LabMachine): Promise<string> =>
  node.ssh("cat /proc/sys/kernel/random/boot_id", { allowFailure: true, timeoutSeconds: 20 }).then(
    ({ stdout }) => stdout,
    () => "",
  );

/** Waits until a node has reset itself and is up again. */
async function resets(node: LabMachine, before: string): Promise<void> {
  await waitUntil(
    async () => !["", before].includes(await bootOf(node)),
    400,
    () => `${node.name} has not reset itself`,
    2000,
  );
}

test("it is taken over, each node feeds its watchdog, and a second plan finds nothing to do", async () => {
  const { seconds } = await nfs.deployment.deploy();
  figure(`deployed in ${seconds.toFixed(0)} s`);
  await nfs.settled();
  for (const node of nfs.nodes) {
    const { stdout } = await node.ssh(
      "systemctl is-active sbd; sed -n 's/^SBD_WATCHDOG_TIMEOUT=//p' /etc/default/sbd",
    );
    expect(stdout).toBe(`active\n${WATCHDOG}\n`);
  }
  expect(await nfs.deployment.isUpToDate()).toBe(true);
  await nfs.copiesAreEqual();
});

test("its files are the export, and count", async () => {
  const client = nfs.lab.machine("client");
  expect((await client.ssh(`cat ${MOUNTED}/2008/kept`)).stdout).toBe("moustache\n");
  const sizes = async (): Promise<number[]> =>
    (await client.ssh(`df --output=size,used --block-size=1M ${MOUNTED} | tail -n 1`)).stdout
      .trim()
      .split(/ +/)
      .map(Number);
  // the upkeep's next minute
  await waitUntil(
    async () => (await sizes())[0] === QUOTA,
    150,
    () => "the export has no quota",
    5000,
  );
  expect((await sizes())[1]).toBeGreaterThanOrEqual(KEPT);
  const metrics = async (): Promise<string> =>
    (
      await (
        await serving(nfs.lab)
      ).ssh("cat /var/lib/prometheus/node-exporter/nfs-pair-volume.prom", {
        allowFailure: true,
      })
    ).stdout;
  await waitUntil(
    async () =>
      (await metrics()).includes(`nfs_pair_export_quota_bytes{export="assets"} ${QUOTA * 1024 * 1024}\n`),
    60,
    () => "no metric of the quota",
    3000,
  );
  const used = /nfs_pair_export_used_bytes\{export="assets"\} (\d+)/.exec(await metrics())!;
  expect(Number(used[1])).toBeGreaterThanOrEqual(KEPT * 1024 * 1024);
});

test("an export is full when its quota is", async () => {
  const client = nfs.lab.machine("client");
  const { code, stderr } = await client.ssh(
    `dd if=/dev/zero of=${MOUNTED}/large bs=1M count=${QUOTA + 16} conv=fsync`,
    { allowFailure: true, timeoutSeconds: 300 },
  );
  expect(code).toBe(1);
  expect(stderr).toMatch(/No space left on device|Disk quota exceeded/);
  await client.ssh(`rm ${MOUNTED}/large && echo again >${MOUNTED}/small && sync ${MOUNTED}/small`);
});

test.each([
  [
    "every path of the serving node is cut",
    (node: LabMachine): Promise<unknown> =>
      nfs.lab.partition(
        [node.name],
        ["nfs-1", "nfs-2", "vote", "client"].filter((name) => name !== node.name),
      ),
  ],
  [
    "corosync hangs on the serving node",
    (node: LabMachine): Promise<unknown> => node.ssh("pkill -STOP -x corosync"),
  ],
])("%s: its watchdog resets it, and then the other one serves", async (what, happens) => {
  const { standby, written } = await nfs.trial(what, async (active) => {
    const before = await bootOf(active);
    await happens(active);
    await resets(active, before);
  });
  figure(`${what}: the client's longest gap is ${written.longestGap.toFixed(1)} s`);
  await nfs.servesNow(standby);
  await nfs.lab.heal();
  await nfs.settled();
  await nfs.copiesAreEqual();
});

test("the serving node loses power: the other one waits for what its watchdog would have done, and serves", async () => {
  const { active, standby } = await nfs.trial("power cut, with watchdogs", (node) => node.cutPower());
  await nfs.servesNow(standby);
  await active.powerOn();
  await nfs.settled();
  await nfs.copiesAreEqual();
});

test("Pacemaker is stopped on the standby for a while, as for maintenance: nothing is reset", async () => {
  const { standby } = await nfs.trial("Pacemaker stopped on the standby", async (_, two) => {
    const before = await bootOf(two);
    await two.ssh("systemctl stop pacemaker", { timeoutSeconds: 200 });
    await delay((WATCHDOG + 40) * 1000);
    expect(await bootOf(two)).toBe(before);
    await two.ssh("systemctl start pacemaker", { timeoutSeconds: 200 });
  });
  await nfs.settled();
  expect((await serving(nfs.lab)).name).not.toBe(standby.name);
});
