// Heartbeat and systemd themselves, by the pair's unit, on two machines without DRBD: what moves are stand-ins. Run as:
// machines/sealed.sh npx jest -c test/machines/jest.config.js machines/heartbeat
import { setTimeout as sleep } from "node:timers/promises";
import { Lab, type LabMachine } from "../../machines/lab";
import { waitUntil } from "../../machines/run";
import { Template } from "../../lib/testing";
import { PROGRAMS } from "../../lib/drbd-nfs-pair/layout";
import { newHeartbeatPair, pairHosts } from "../drbd-nfs-pair/pairs";
import { newStack } from "../support/stack";

// It waits for Heartbeat's own times, more than once in each test.
jest.setTimeout(600_000);

const NODES = ["nfs-1", "nfs-2"] as const;
const HELD = "/run/held";
const RESOURCES = ["drbddisk", "Filesystem", "nfs-server", "IPaddr2", "nfs-clients"];

// The other node has the volume, and DRBD lets one have it.
const PEER_HAS_IT = "/run/peer-has-it";
// Takes a second to start and to stop, as the real ones do; what is held is a file.
const STAND_IN = `#!/bin/sh
held=${HELD}/\${0##*/}
for act; do :; done
case $act in
  start) [ "\${0##*/}" != drbddisk ] || [ ! -e ${PEER_HAS_IT} ] || exit 1; sleep 1; mkdir -p ${HELD}; touch "$held" ;;
  stop) [ ! -e "$held" ] || sleep "$(cat /run/stop-takes || echo 1)"; rm -f "$held" ;;
  status) if [ -e "$held" ]; then echo running; else echo stopped; fi ;;
esac`;
// The volume is mounted and DRBD is primary where the stand-ins are held.
const DRBDADM = `#!/bin/sh
[ "$1" = role ] || exit 0
if [ -e ${HELD}/drbddisk ]; then echo Primary/Secondary; elif [ -e ${PEER_HAS_IT} ]; then echo Secondary/Primary; else echo Secondary/Secondary; fi`;
const MOUNTPOINT = `#!/bin/sh\n[ -e ${HELD}/Filesystem ]`;

let lab: Lab;
const nodes = (): LabMachine[] => NODES.map((name) => lab.machine(name));
const onBoth = (script: string): Promise<string[]> =>
  Promise.all(
    nodes().map(async (node) =>
      (await node.ssh(script, { timeoutSeconds: 120, allowFailure: true })).stdout.trim(),
    ),
  );

/** What each node holds, one name after the other. */
const held = (): Promise<string[]> => onBoth(`ls ${HELD} 2>/dev/null | wc -l`);
const state = (): Promise<string[]> => onBoth("systemctl is-active heartbeat");
const runs = (): Promise<string[]> => onBoth("pgrep --exact heartbeat | wc -l");

async function until(what: string, isSo: () => Promise<boolean>, seconds = 60): Promise<void> {
  let last = "";
  const look = async (): Promise<boolean> => {
    last = String(await held());
    return isSo();
  };
  try {
    await waitUntil(look, seconds, () => `not ${what}; held: ${last}`, 250);
  } catch (cause) {
    throw new Error((await journals()).join("\n----\n"), { cause });
  }
}
const journals = (): Promise<string[]> =>
  onBoth("journalctl --boot --quiet --unit heartbeat --lines 60 --output short-precise");
const oneServes = (): Promise<boolean> =>
  held().then((counts) => [...counts].sort().join() === `0,${RESOURCES.length}`);

async function start(): Promise<void> {
  await onBoth("systemctl start heartbeat");
  await until("one of them serves", oneServes);
}

/** Cut until both serve, and whole again: both give up what they have and begin anew. Gives a function that waits until a node has said something since. */
async function splits(): Promise<(node: LabMachine, words: string) => Promise<void>> {
  await start();
  await lab.partition([NODES[0]], [NODES[1]]);
  await until("both serve", async () => (await held()).every((count) => count === String(RESOURCES.length)));
  const cursors = await onBoth("journalctl --lines 1 --show-cursor --quiet | sed -n 's/^-- cursor: //p'");
  await lab.heal();
  return (node, words) => {
    const after = cursors[nodes().indexOf(node)];
    const look = `journalctl --quiet --unit heartbeat --after-cursor '${after}' | grep --count '${words}'`;
    return until(words, async () => Number((await node.ssh(look, { allowFailure: true })).stdout) > 0);
  };
}

const stop = (node: LabMachine): Promise<unknown> =>
  node.ssh("systemctl stop heartbeat", { timeoutSeconds: 120 });

/** Both are stopped, and stay so for longer than a start takes. */
async function stopped(): Promise<void> {
  const look = async () => ({ state: await state(), runs: await runs(), held: await held() });
  const nothing = { state: ["inactive", "inactive"], runs: ["0", "0"], held: ["0", "0"] };
  expect(await look()).toEqual(nothing);
  await sleep(20_000);
  expect(await look()).toEqual(nothing);
}

beforeAll(async () => {
  const spec = (address: string) => ({ address: `${address}/24`, flavour: "vms" as const });
  lab = await Lab.start({ "nfs-1": spec("10.0.1.91"), "nfs-2": spec("10.0.1.92") });
  const stack = newStack();
  newHeartbeatPair(stack, { deadtime: 6, initdead: 12 }, { platform: pairHosts(stack) });
  const template = Template.synth(stack);
  for (const node of NODES) {
    const { stdout } = await lab
      .machine(node)
      .ssh("ip -oneline route get 10.0.1.1 | sed 's/.* dev //; s/ .*//'");
    const put = async (path: string, text: string, mode: string): Promise<void> => {
      const input = text
        .replace(/@@HA:(secret|quotable):[^@]*@@/g, "0123456789abcdef")
        .replace(/@@HA:fact:interface@@/g, stdout.trim());
      await lab.machine(node).ssh(`install -D -m ${mode} /dev/stdin ${path}`, { input });
    };
    for (const path of [
      ...["ha.cf", "haresources"].map((file) => `/etc/ha.d/${file}`),
      "/etc/cdktf-ha/drbd-nfs",
      "/etc/systemd/system/heartbeat.service.d/cdktf-ha.conf",
      ...[
        "functions",
        "heartbeat-functions",
        "heartbeat-begin",
        "heartbeat-end",
        "heartbeat-release",
        "heartbeat-resume",
      ].map((name) => `${PROGRAMS}/${name}.sh`),
    ])
      await put(path, template.file(node, path), "644");
    await put("/etc/ha.d/authkeys", template.file(node, "/etc/ha.d/authkeys"), "600");
    for (const name of RESOURCES) await put(`/etc/ha.d/resource.d/${name}`, STAND_IN, "755");
    for (const [name, text] of Object.entries({
      drbdadm: DRBDADM,
      mountpoint: MOUNTPOINT,
      modprobe: "#!/bin/sh",
    }))
      await put(`/usr/local/sbin/${name}`, text, "755");
  }
  await onBoth("systemctl daemon-reload");
});
afterAll(() => lab.stop());

test("begins anew after a cut, is still the unit's, and stops when it is told to", async () => {
  const said = await splits();
  await Promise.all(nodes().map((node) => said(node, "Performing heartbeat restart exec")));
  await until("one of them serves again", oneServes, 120);
  expect(await state()).toEqual(["active", "active"]);
  await Promise.all(nodes().map(stop));
  await stopped();
});

test("told to stop while it is beginning anew, it stops", async () => {
  const said = await splits();
  await Promise.all(
    nodes().map(async (node) => {
      await said(node, "Heartbeat shutdown in progress");
      await stop(node);
    }),
  );
  await stopped();
});

/** Its main process is killed on the node that serves; gives which one that was. */
async function killed(): Promise<number> {
  const serving = (await held()).indexOf(String(RESOURCES.length));
  await nodes()[serving]!.ssh("kill -9 $(head -n 1 /run/heartbeat.pid)");
  return serving;
}

test("killed, it leaves nothing behind, the other node takes over, and it comes back as the second", async () => {
  await start();
  const dead = await killed();
  await until("taken over", async () => (await held())[1 - dead] === String(RESOURCES.length));
  const back = nodes()[dead]!;
  await back.ssh(`touch ${PEER_HAS_IT}`);
  const resources = async () => (await back.ssh("cl_status rscstatus", { allowFailure: true })).stdout;
  await until("back", async () => (await resources()) === "none\n");
  await back.ssh(`bash ${PROGRAMS}/heartbeat-resume.sh`);
  expect((await held())[dead]).toBe("0");
  expect((await held())[1 - dead]).toBe(String(RESOURCES.length));
  await onBoth(`systemctl stop heartbeat; rm -f ${PEER_HAS_IT}`);
});

test("killed, with a volume that is not released before the other node has given up: one serves in the end", async () => {
  await onBoth("echo 5 >/run/stop-takes");
  await start();
  const other = nodes()[(await held()).indexOf("0")]!;
  await other.ssh(`touch ${PEER_HAS_IT}`);
  const dead = await killed();
  await until("released", async () => (await held())[dead] === "0");
  expect(await held()).toEqual(["0", "0"]);
  await other.ssh(`rm ${PEER_HAS_IT}`);
  await until("one of them serves", oneServes, 180);
  await onBoth("systemctl stop heartbeat");
});
