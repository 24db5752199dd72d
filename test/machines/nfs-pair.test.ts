import { VIP } from "./support/site";
import { figure } from "./support/ring-site";
import type { Outcome } from "../support/deployment";
import { NfsLab } from "./support/nfs/nfs-lab";
import { MOUNTED } from "./support/nfs/nfs-site";

/** An NFS pair on virtual machines: real DRBD, the kernel's NFS server, a client that writes while everything happens. */
// Translated by QEMU, and beside other tests: ten times slower than real machines.
jest.setTimeout(2_300_000);

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
  expect(written.longestGap).toBeLessThan(240);
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
