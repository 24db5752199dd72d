import { waitUntil } from "../../machines/run";
import { VIP } from "./support/site";
import { figure } from "./support/ring-site";
import type { Outcome } from "../support/deployment";
import { NfsLab } from "./support/nfs/nfs-lab";
import { MOUNTED, nfsSite, serving, STATUS_PORT } from "./support/nfs/nfs-site";

/** An NFS pair on virtual machines: real DRBD, the kernel's NFS server, a client that writes while everything happens. */
// Translated by QEMU, and beside other tests: ten times slower than real machines.
jest.setTimeout(1_500_000);

let nfs: NfsLab;
let first: Outcome;

beforeAll(async () => {
  nfs = await NfsLab.start();
  first = await nfs.deployment.deploy();
});
afterAll(() => nfs.stop());

test("empty disks become a pair that serves, and a second plan finds nothing to do", async () => {
  figure(`deployed in ${first.seconds.toFixed(0)} s`);
  expect(first.steps.join("\n")).toContain("healthy");
  await nfs.settled();
  for (const node of nfs.nodes) expect(await nfs.copies(node)).toBe("Connected UpToDate/UpToDate");
  expect(await nfs.deployment.isUpToDate()).toBe(true);
  const { stdout } = await nfs.lab.machine("client").ssh(`findmnt --noheadings --output OPTIONS ${MOUNTED}`);
  expect(stdout).toContain("vers=4.2");
  expect(stdout).toContain("hard");
  expect(await openPorts()).toEqual([2049]);
});

/** Of those that anything of a pair, or beside one, listens on: what a client reaches. */
async function openPorts(): Promise<number[]> {
  const { stdout } = await nfs.lab.machine("client").ssh(
    `scan() { timeout 20 bash -c "exec 3<>/dev/tcp/${VIP}/$1" 2>/dev/null && echo $1; }
    for port in 22 111 662 2049 2224 3121 5403 5405 7788 7789 4045 20048 21064 32803; do
      scan $port &
    done | sort --numeric-sort`,
    { timeoutSeconds: 60 },
  );
  return stdout.trim().split("\n").map(Number);
}

test("a planned switchover is a pause for the client, who keeps its lock", async () => {
  const { standby, written, switched } = await nfs.trial("switchover", async (active) => {
    await active.ssh("nfs-pair-switchover", { timeoutSeconds: 300 });
  });
  await nfs.servesNow(standby);
  expect(switched).toEqual([]);
  expect(written.longestGap).toBeLessThan(120);
  await nfs.settled();
});

test("the serving node's power cut loses nothing, and the dead one comes back as the standby", async () => {
  const { active, standby, switched } = await nfs.trial("power cut", (node) => node.cutPower());
  await nfs.servesNow(standby);
  expect(switched).toEqual([`off ${active.name}`]);
  await nfs.settled();
  expect((await active.ssh("drbdadm role nfs")).stdout).toBe("Secondary/Primary\n");
  await nfs.copiesAreEqual();
});

/** Holds a lock on a file until it is told to end. */
const holder = (file: string): string =>
  `systemd-run --quiet --unit=lock-of-${file.split("/").at(-1)} python3 -c '
import fcntl, time
held = open("${file}", "w")
fcntl.lockf(held, fcntl.LOCK_EX)
time.sleep(10000)'`;

test("an apply lets clients of version 3 in, and on a full volume too everybody's locks survive a power cut", async () => {
  const client = nfs.lab.machine("client");
  const { seconds } = await nfs.deployment.changed(nfsSite(nfs.lab, { version3: true })).deploy();
  figure(`version 3 comes by an apply: ${seconds.toFixed(0)} s`);
  await nfs.settled();
  expect(await openPorts()).toEqual([111, 662, 2049, 4045, 20048]);
  await client.ssh(
    `set -e
    printf '[statd]\nport=${STATUS_PORT}\n' >/etc/nfs.conf.d/lab.conf
    systemctl restart rpc-statd
    mount -t nfs -o vers=3,proto=tcp,hard ${VIP}:/srv/nfs/exports/assets /mnt
    ${holder("/mnt/three")}
    ${holder(`${MOUNTED}/four`)}`,
    { timeoutSeconds: 120 },
  );
  const held = async (): Promise<string> =>
    (
      await (
        await serving(nfs.lab)
      ).ssh(
        `cd /srv/nfs/exports/assets
        for name in three four; do
          if grep -q ":$(stat --format %i $name) " /proc/locks; then echo "$name is locked"; fi
        done`,
        { allowFailure: true },
      )
    ).stdout;
  const LOCKED = "three is locked\nfour is locked\n";
  const everybodyHas = async (): Promise<boolean> => (await held()) === LOCKED;
  await waitUntil(everybodyHas, 120, () => "the client has no locks", 2000);
  const full = await client.ssh(
    `for size in 128M 16M 1M 64K 4K; do
      for number in {1..20}; do fallocate --length $size ${MOUNTED}/fill-$size-$number || break; done
    done 2>&1 | tail -n 1`,
    { timeoutSeconds: 300 },
  );
  expect(full.stdout).toContain("No space left on device");

  const active = await serving(nfs.lab);
  const cut = performance.now();
  await active.cutPower();
  const answers = async (): Promise<boolean> =>
    (await client.ssh(`timeout 20 cat /mnt/three ${MOUNTED}/four`, { allowFailure: true })).code === 0 &&
    (await serving(nfs.lab)).name !== active.name;
  await waitUntil(answers, 300, () => "nobody serves", 1000);
  figure(
    `power cut on a full volume: it is read again after ${((performance.now() - cut) / 1000).toFixed(1)} s`,
  );
  await waitUntil(everybodyHas, 200, () => "a lock is lost", 3000);
  await client.ssh(`rm ${MOUNTED}/fill-* && echo more >${MOUNTED}/more && sync ${MOUNTED}/more`, {
    timeoutSeconds: 200,
  });
  await client.ssh("systemctl stop lock-of-three lock-of-four; umount /mnt", { timeoutSeconds: 100 });
  await nfs.settled();
  await nfs.copiesAreEqual();
});
