import { setTimeout as delay } from "node:timers/promises";
import { Peer } from "cdktf-ha-clusters";
import type { LabMachine } from "../../machines/lab";
import { figure } from "./support/ring-site";
import { NfsLab } from "./support/nfs/nfs-lab";
import { nfsSite } from "./support/nfs/nfs-site";

/** What can be lost of an NFS pair: paths, the power switch, the third vote, a disk, programs; as nfs-pair.test.ts, on virtual machines. */
// Translated by QEMU: ten times slower than real machines.
jest.setTimeout(1_500_000);

let nfs: NfsLab;

beforeAll(async () => {
  nfs = await NfsLab.start();
  await nfs.deployment.deploy();
  await nfs.settled();
});
afterAll(() => nfs.stop());

test.each([
  ["neither hears the other", false],
  ["the standby does not hear the one that serves", true],
])(
  "the network between the nodes is cut so that %s: the one that serves goes on, the other is switched off",
  async (what, oneWay) => {
    const { active, standby, switched } = await nfs.trial(what, async (one, two) => {
      const since = Date.now();
      await nfs.lab.partition([one.name], [two.name], { oneWay });
      await nfs.switchedOff(two, since);
    });
    expect(switched).toEqual([`off ${standby.name}`]);
    await nfs.servesNow(active);
    await nfs.lab.heal();
    await nfs.settled();
  },
);

test("every path of the serving node is cut: it stops, is switched off, and the other one serves", async () => {
  const { active, standby, switched } = await nfs.trial("all paths of the serving node", async (one, two) => {
    const since = Date.now();
    await nfs.lab.partition([one.name], [two.name, "vote", "client"]);
    await nfs.switchedOff(one, since);
  });
  expect(switched).toEqual([`off ${active.name}`]);
  await nfs.servesNow(standby);
  await nfs.lab.heal();
  await nfs.settled();
  await nfs.copiesAreEqual();
});

test("the clients' network is gone at the serving node, the second one is not: the service is handed over", async () => {
  const { active, standby, switched } = await nfs.trial("clients' cable of the serving node", (one) =>
    one.unplug(),
  );
  expect(switched).toEqual([]);
  await nfs.servesNow(standby);
  await active.plug();
  await nfs.settled();
});

test("a power switch that hangs: nobody takes over before it is certain, and soon after", async () => {
  let answers = 0;
  const { standby } = await nfs.trial("power cut while the switch hangs", async (one, two) => {
    await nfs.power.set("hangs");
    const since = Date.now();
    await one.cutPower();
    await delay(60_000);
    expect(nfs.watch.changes(since).filter((change) => change.includes(`${two.name} ro:Primary`))).toEqual(
      [],
    );
    expect((await two.ssh("crm_mon --one-shot")).stdout).toContain("UNCLEAN");
    await nfs.power.set("works");
    answers = Date.now();
  });
  figure(
    `the service is back ${((Date.now() - answers) / 1000).toFixed(0)} s after the switch answers again`,
  );
  await nfs.servesNow(standby);
  await nfs.settled();
});

test("without the quorum host and without its NFS server's threads a node goes on serving; without its disk the other one does", async () => {
  const vote = nfs.lab.machine("vote");
  const { active, switched } = await nfs.trial("quorum host dead", async () => {
    await vote.cutPower();
    await delay(20_000);
  });
  await vote.powerOn();
  expect(switched).toEqual([]);
  await nfs.servesNow(active);
  const diskless = await nfs.trial("disk of the serving node let go", async (node, two) => {
    await node.ssh("drbdadm detach nfs");
    expect(await nfs.copies(node)).toBe("Connected Diskless/UpToDate");
    await nfs.serves(two);
  });
  expect(diskless.switched).toEqual([]);
  await diskless.active.ssh("drbdadm adjust nfs");
  await nfs.settled();
  const threads = await nfs.trial("no thread of the NFS server is left", (node) =>
    node.ssh("echo 0 >/proc/fs/nfsd/threads"),
  );
  expect(threads.switched).toEqual([]);
  await nfs.servesNow(threads.active);
  await nfs.settled();
});

/** The agent's closer look at the volume, on a node, with less patience than the cluster has; a second one some time after a write has begun. */
async function takesWrites(node: LabMachine): Promise<string> {
  const look = (): Promise<{ stdout: string }> =>
    node.ssh(
      `OCF_CHECK_LEVEL=10 OCF_RESKEY_state=/srv/nfs/state OCF_RESKEY_write_within=10 /usr/lib/ocf/resource.d/cdktf-ha/nfs-server monitor 2>&1; echo $?`,
    );
  expect((await look()).stdout).toBe("0\n");
  await delay(15_000);
  return (await look()).stdout;
}

test("a file system that takes no writes any more: its node is switched off, and the other one serves", async () => {
  const { standby, switched } = await nfs.trial("frozen file system of the serving node", async (one) => {
    // as DRBD holds writes while it waits for the other node's fate
    await one.ssh("drbdadm suspend-io nfs");
    expect(await takesWrites(one)).toBe("0\n");
    await one.ssh("drbdadm resume-io nfs");
    await delay(3000);
    const since = Date.now();
    await one.ssh("fsfreeze --freeze /srv/nfs");
    expect(await takesWrites(one)).toMatch(/no write to the volume has ended for \d+ s\n1\n$/);
    await nfs.switchedOff(one, since, 600);
  });
  expect(switched).toHaveLength(1);
  await nfs.servesNow(standby);
  await nfs.settled();
  await nfs.copiesAreEqual();
});

test("killed membership of the serving node: systemd starts it again before anybody misses it, or it is switched off", async () => {
  const { active, switched } = await nfs.trial("corosync killed", async (node) => {
    await node.ssh("pkill -KILL -x corosync");
    await delay(30_000); // the token's 9 s, and as long again for whoever acts on it
    await nfs.settled();
  });
  figure(`corosync killed: ${switched.join(", ") || "nobody is switched off"}`);
  expect([[], [`off ${active.name}`]]).toContainEqual(switched);
  await nfs.settled();
  await nfs.copiesAreEqual();
});

test("an apply that is killed and done again adds an export, and the client notices nothing", async () => {
  const more = {
    exports: [
      { name: "assets", squash: "none" as const },
      { name: "more", clients: [Peer.cidr("10.77.0.31")] },
    ],
  };
  const { written } = await nfs.trial("an export more, applied twice", async () => {
    const changed = nfs.deployment.changed(nfsSite(nfs.lab, more));
    await changed.prepare();
    await changed.killedWhen((output) => output.includes("nfs-server] "));
    await changed.deploy();
  });
  expect(written.longestGap).toBeLessThan(20);
  const { stdout } = await nfs.lab
    .machine("client")
    .ssh(
      `mount -t nfs4 10.77.0.100:/srv/nfs/exports/more /mnt && findmnt --noheadings --output SOURCE /mnt; umount /mnt`,
    );
  expect(stdout).toBe("10.77.0.100:/srv/nfs/exports/more\n");
});
