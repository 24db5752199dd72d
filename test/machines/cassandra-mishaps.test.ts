import { RingTls, Secret, type CassandraRingProps, type SshHost } from "cdktf-ha-clusters";
import type { TerraformStack } from "cdktf";
import type { Lab, LabMachine } from "../../machines/lab";
import { waitUntil } from "../../machines/run";
import { Deployment } from "../support/deployment";
import { Authority } from "./support/certificates";
import {
  ALL_UP,
  CLIENT,
  FIRST_THREE,
  figure,
  heavyRows,
  isOpen,
  NODES,
  notesOf,
  ringRack,
  smallRing,
  startRingSite,
  startsOf,
  statesOf,
  throttle,
  VARIABLES,
  whoIsNotNormal,
  type NodeName,
  untilStates,
} from "./support/ring-site";

/** Three nodes in two racks, with TLS from the start, and what may happen to them. */
let lab: Lab;
let deployment: Deployment;
let authority: Authority;
const RACKS = { "cassandra-1": "rack-a", "cassandra-2": "rack-b", "cassandra-3": "rack-b" } as const;

const ring =
  (props: Partial<CassandraRingProps> = {}, passwordVersion = "1") =>
  (stack: TerraformStack): void => {
    const hosts = Object.entries(RACKS).map(([name, zone]): [string, SshHost] => [
      name,
      { address: `${NODES[name as NodeName]}/24`, zone },
    ]);
    smallRing(stack, {
      platform: ringRack(stack, lab, Object.fromEntries(hosts)),
      nodes: FIRST_THREE,
      superuser: { password: Secret.variable(stack, "admin-password", { version: passwordVersion }) },
      tls: RingTls.authority(Secret.variable(stack, "ring-authority"), { trusted: [authority.certificate] }),
      ...props,
    });
  };

beforeAll(async () => {
  lab = await startRingSite(Object.fromEntries(FIRST_THREE.map((name) => [name, NODES[name]])));
  authority = await Authority.create(lab.directory, "authority");
  const variables = {
    ...VARIABLES,
    "admin-password": "something old",
    "ring-authority": await authority.bundle(),
  };
  deployment = new Deployment(`${lab.directory}/deployment`, ring(), variables);
});
afterAll(() => lab.stop());

test("no ring begins while nothing is heard from one of its machines", async () => {
  await lab.partition(["cassandra-1"], ["cassandra-3"]);
  const outcome = await deployment.apply();
  await lab.heal();
  expect(outcome.ok).toBe(false);
  expect(outcome.output).toContain(`nothing is heard from ${NODES["cassandra-3"]}`);
  const { stdout } = await lab.machine("cassandra-1").ssh("systemctl is-active cassandra || true");
  expect(stdout.trim()).not.toBe("active");
}, 600_000);

test("three nodes in two racks, with more copies than racks", async () => {
  await deployment.deploy();
  for (const name of FIRST_THREE) expect(await statesOf(lab.machine(name))).toEqual(ALL_UP);
}, 1_200_000);

test("what a node was started with is the same in root's eyes and its own, certificates among it", async () => {
  const fingerprint = (release: string): string =>
    `bash -euo pipefail -c '. /usr/local/lib/cdktf-ha/cassandra/functions.sh; ${release}; ring_fingerprint'`;
  for (const release of ["true", "RING_TLS_RELOADS=no"]) {
    const { stdout } = await lab
      .machine("cassandra-1")
      .ssh(
        `${fingerprint(release)}; setpriv --reuid=cassandra --regid=cassandra --clear-groups ${fingerprint(release)}`,
      );
    const [root, own, ...rest] = stdout.trim().split("\n");
    expect(root).toMatch(/^[0-9a-f]{32}$/);
    expect([own, rest]).toEqual([root, []]);
  }
});

test("a port is open, refused or silent; a release with a port of its own for TLS may listen on either", async () => {
  const probe = async (address: string, ports: string): Promise<string> =>
    (
      await lab
        .machine("cassandra-1")
        .ssh(
          `bash -euo pipefail -c '. /usr/local/lib/cdktf-ha/cassandra/functions.sh; RING_STORAGE_PORTS="${ports}" ring_probe ${address}'`,
        )
    ).stdout;
  const other = NODES["cassandra-2"];
  expect(await probe(other, "7000")).toBe("open");
  expect(await probe(CLIENT, "7000 7001")).toBe("refused");
  await lab
    .machine("client")
    .ssh(
      "systemd-run --quiet --unit=tls-only socat TCP-LISTEN:7001,fork,reuseaddr -; until (($(ss -Hltn 'sport = :7001' | wc -l))); do sleep 0.1; done",
    );
  expect(await probe(CLIENT, "7000 7001")).toBe("open");
  await lab.machine("client").ssh("systemctl stop tls-only");
  await lab.partition(["cassandra-1"], ["client"]);
  expect(await probe(CLIENT, "7000 7001")).toBe("silent");
  await lab.heal();
});

test("a superuser's new password together with a change that restarts: both, in one apply", async () => {
  const before = await startsOf(lab, FIRST_THREE);
  const variables = {
    ...VARIABLES,
    "ring-authority": await authority.bundle(),
    "admin-password": "something new",
  };
  deployment = deployment.changed(ring({ settings: { compaction_throughput: "32MiB/s" } }, "2"), variables);
  await deployment.deploy();
  const after = await startsOf(lab, FIRST_THREE);
  expect(after.filter((start, index) => start === before[index])).toEqual([]);
  for (const name of FIRST_THREE) await untilStates(lab.machine(name), ALL_UP);
}, 1_200_000);

const allUp = (seconds: number): Promise<void> =>
  waitUntil(
    async () => {
      // a look at a port costs nothing, nodetool a second of a processor
      if (!(await isOpen(lab.machine("cassandra-1"), NODES["cassandra-3"], 9042))) return false;
      for (const each of FIRST_THREE) {
        const states = await statesOf(lab.machine(each));
        if (FIRST_THREE.some((name) => states[name] !== "UN")) return false;
      }
      return true;
    },
    seconds,
    () => "not all are up in the eyes of all",
    1000,
  );

test.each<[string, (node: LabMachine) => Promise<unknown>]>([
  ["reboots", (node) => node.reboot()],
  ["loses its power", (node) => node.cutPower().then(() => node.powerOn())],
  ["is restarted by hand", (node) => node.ssh("systemctl restart cassandra", { timeoutSeconds: 120 })],
])(
  "a node that %s comes back by itself",
  async (_, mishap) => {
    const before = await startsOf(lab, ["cassandra-3"]);
    const start = performance.now();
    await mishap(lab.machine("cassandra-3"));
    await allUp(240);
    figure(`back after ${((performance.now() - start) / 1000).toFixed(0)} s`);
    expect(await startsOf(lab, ["cassandra-3"])).not.toEqual(before);
  },
  800_000,
);

test("a node whose disk is not there does not start, and starts when it is", async () => {
  const node = lab.machine("cassandra-3");
  await node.ssh(
    "systemctl stop cassandra; mv /var/lib/cassandra/cdktf-ha-node /root/; systemctl start cassandra",
    { timeoutSeconds: 120 },
  );
  const words = async (): Promise<string> =>
    (await node.ssh("journalctl --unit=cassandra --output=cat --no-pager --lines=100")).stdout;
  await waitUntil(
    async () => (await words()).includes("only an apply may start it"),
    60,
    () => "it says nothing",
    500,
  );
  await node.ssh("systemctl stop cassandra; mv /root/cdktf-ha-node /var/lib/cassandra/");
  await node.ssh("systemctl reset-failed cassandra; systemctl start cassandra");
  await allUp(240);
}, 800_000);

test("no node is stopped while another one leaves", async () => {
  const node = lab.machine("cassandra-3");
  await heavyRows(node, "esmond");
  await throttle(node, true);
  await node.ssh("systemd-run --quiet --unit=goes nodetool decommission --force");
  const there = lab.machine("cassandra-1");
  await waitUntil(
    async () => (await statesOf(there))["cassandra-3"] === "UL",
    120,
    () => "it never leaves",
    1000,
  );
  expect(await whoIsNotNormal(there)).toMatch(`stop: ${NODES["cassandra-3"]} is UL`);
  expect(await whoIsNotNormal(node)).toMatch(`stop: ${NODES["cassandra-3"]} is UL`);
  await throttle(node, false);
  await waitUntil(
    async () => (await statesOf(there))["cassandra-3"] === undefined,
    300,
    () => "it does not leave",
    1000,
  );
}, 1_400_000);

test("a node that was decommissioned by hand, and rebooted, leaves the code all the same", async () => {
  const node = lab.machine("cassandra-3");
  await node.cutPower();
  await node.powerOn();
  await deployment
    .changed(
      ring({ settings: { compaction_throughput: "32MiB/s" }, nodes: ["cassandra-1", "cassandra-2"] }, "2"),
    )
    .deploy();
  for (const name of ["cassandra-1", "cassandra-2"]) {
    expect(await statesOf(lab.machine(name))).toEqual({ "cassandra-1": "UN", "cassandra-2": "UN" });
  }
  const notes = await notesOf(lab, ["cassandra-3"]);
  expect(notes.map(({ text }) => text)).toContainEqual(
    expect.stringMatching(/^is no member of the ring any more; .* is in .*\/left-/),
  );
}, 1_200_000);
