import { setTimeout as delay } from "node:timers/promises";
import { isDeepStrictEqual } from "node:util";
import { Peer, PostgresReplicaSet, VirtualIp, type PostgresReplicaSetProps } from "cdktf-ha-clusters";
import type { Lab, SshOptions } from "../../machines/lab";
import { waitUntil } from "../../machines/run";
import { Deployment } from "../support/deployment";
import { awaitServers } from "./support/haproxy";
import { awaitMembers, membersOf, PASSWORDS, replicaSet, WRITES } from "./support/replica-set";
import { figure } from "./support/ring-site";
import { ADDRESSES, startSite } from "./support/site";
import { psql, underWrites, type Statements } from "./support/sql-client";

/**
 * A strict set, then one of two members whose third vote is elsewhere, in an etcd that another set uses too; with an address of its own that
 * is where the primary is.
 */
let lab: Lab;
let deployment: Deployment;
const THREE = ["db-1", "db-2", "db-3"] as const;
const TWO = ["db-1", "db-2"] as const;
const EVERYBODY = ["lb-1", "lb-2", ...THREE, "db-4"] as const;
/** Of etcd: one stays on a machine whose member leaves, and a quorum wherever two members have no power. */
const VOTES = ["lb-1", "db-3", "db-4"];
const LEADERS_ADDRESS = "10.77.0.101";
const LEADER = { ...WRITES, host: LEADERS_ADDRESS };

const twoSets = (
  members: readonly string[],
  synchronous: PostgresReplicaSetProps["synchronous"],
): Deployment =>
  deployment.changed(
    replicaSet(lab, {
      members,
      votes: VOTES,
      synchronous,
      virtualIp: VirtualIp.layer2(`${LEADERS_ADDRESS}/24`),
      clients: [Peer.cidr(ADDRESSES.client)],
      also: (stack, rack, { etcd, memberPassword }) =>
        new PostgresReplicaSet(stack, "reports", {
          platform: rack,
          members: ["db-4"],
          etcd,
          memberPassword,
          memoryMiB: 256,
        }),
    }),
    PASSWORDS,
  );
const during = (what: string, action: () => Promise<unknown>, target = WRITES): Promise<Statements> =>
  underWrites(lab.machine("client"), what, action, { before: target, after: target });
/** Members that have the primary's address. */
async function holders(members: readonly string[] = THREE): Promise<string[]> {
  const found = await Promise.all(
    members.map(
      async (name) => (await lab.machine(name).ssh(`ip -o address show to ${LEADERS_ADDRESS}`)).stdout,
    ),
  );
  return members.filter((_, index) => found[index]);
}
/** Until the application writes again: it hears of a server that is gone when it sends anew, after twice as long each time. */
async function writerGoesOn(target: typeof WRITES): Promise<void> {
  const most = (): Promise<number> =>
    psql(lab.machine("client"), target, "select coalesce(max(n), 0) from numbers").then(Number);
  const had = await most();
  await waitUntil(
    async () => (await most()) > had,
    90,
    () => "the application does not write again",
    500,
  );
  await delay(1000);
}
/** Until a new connection writes, and by this server. */
async function written(target: typeof WRITES, server: string): Promise<void> {
  const insert = "insert into numbers values (0) returning host(inet_server_addr())";
  await waitUntil(
    async () => (await psql(lab.machine("client"), target, insert).catch(() => "")) === server,
    90,
    () => `${server} does not write`,
  );
}
/** The other set, with its only member. */
const reports = async (): Promise<unknown> => {
  const [only, ...others] = await membersOf(lab.machine("db-4"));
  return [only?.name, only?.role, only?.state, others.length];
};
const REPORTS_WELL = ["db-4", "leader", "running", 0];
/** What etcd says of it is as old as a loop of Patroni's. */
async function untilReported(): Promise<void> {
  let told: unknown;
  await waitUntil(
    async () => isDeepStrictEqual((told = await reports()), REPORTS_WELL),
    60,
    () => JSON.stringify(told),
  );
}
const now = async (name: string): Promise<number> =>
  Number((await lab.machine(name).ssh("date +%s%3N")).stdout);

beforeAll(async () => {
  lab = await startSite([...EVERYBODY, "client"], "tests");
  deployment = new Deployment(`${lab.directory}/deployment`, () => undefined, PASSWORDS);
});
afterAll(() => lab.stop());

test("a strict set and a second one in the same etcd", async () => {
  const strict = twoSets(THREE, "strict");
  const { seconds } = await strict.deploy();
  figure(`deploy of two sets, their etcd and the pair: ${seconds.toFixed(0)} s`);
  const { leader } = await awaitMembers(lab.machine("db-1"), 3);
  await untilReported();
  await awaitServers(
    ["lb-1", "lb-2"].map((name) => lab.machine(name)),
    { [`primary/${leader}`]: "UP" },
    60,
  );
  await psql(lab.machine("client"), WRITES, "create table numbers (n int)");
  expect(await strict.isUpToDate()).toBe(true);
}, 800_000);

/** From when to when each member has had the primary's address, by a look at itself every tenth of a second; in milliseconds. */
async function whileHeld(
  members: readonly string[],
  action: () => Promise<unknown>,
): Promise<Record<string, { from: number; to: number }>> {
  const look = `exec 9<> <(:)
while :; do
  [[ $(</proc/net/fib_trie) != *${LEADERS_ADDRESS}* ]] || echo "\${EPOCHREALTIME/[.,]/}"
  read -rt 0.1 -u 9
done
`;
  const each = (command: string, options?: SshOptions): Promise<{ stdout: string }[]> =>
    Promise.all(members.map((name) => lab.machine(name).ssh(command, options)));
  const unit = "--unit=look --property=StandardOutput=truncate:/run/look";
  await each(`cat >/run/look.sh; systemd-run --quiet --collect ${unit} bash /run/look.sh`, { input: look });
  await action();
  const seen = await each("systemctl stop look; cat /run/look");
  return Object.fromEntries(
    members.flatMap((name, index) => {
      const at = seen[index]!.stdout.split("\n")
        .filter(Boolean)
        .map((micros) => Number(micros) / 1000);
      return at.length ? [[name, { from: at[0]!, to: at.at(-1)! }]] : [];
    }),
  );
}

test("the address of the primary moves with it, by a switchover and by a power cut, and nobody else ever has it", async () => {
  const { leader, standby } = await awaitMembers(lab.machine("db-1"), 3);
  expect(await holders()).toEqual([leader]);
  const held = await whileHeld(THREE, () =>
    during(
      "switchover, by the primary's address",
      async () => {
        await lab
          .machine(leader)
          .ssh("/usr/local/lib/cdktf-ha/postgres/member switchover", { timeoutSeconds: 120 });
        await delay(4000);
      },
      LEADER,
    ),
  );
  expect(Object.keys(held).sort()).toEqual([leader, standby].sort());
  expect(held[leader]!.to).toBeLessThan(held[standby]!.from);
  figure(
    `switchover: nobody had the primary's address for ${((held[standby]!.from - held[leader]!.to) / 1000).toFixed(1)} s`,
  );
  expect(await holders()).toEqual([standby]);
  const others = THREE.filter((name) => name !== standby);
  let cut = 0;
  const { done } = await during(
    "power cut, by the primary's address",
    async () => {
      cut = await now("client");
      await lab.machine(standby).cutPower();
      await waitUntil(
        async () => (await holders(others)).length === 1,
        60,
        () => "nobody has the address",
        500,
      );
      // it leads before it has been promoted, and a commit waits for another member's copy
      await written(LEADER, LEADERS_ADDRESS);
      await writerGoesOn(LEADER);
    },
    LEADER,
  );
  const [next] = await holders(others);
  const again = done.find(({ at, ms }) => at + ms > cut + 5000)!; // what was under way is done
  figure(
    `power cut: a write by the primary's address ${((again.at + again.ms - cut) / 1000).toFixed(1)} s after`,
  );
  expect(again.server).toBe(LEADERS_ADDRESS);
  await lab.machine(standby).powerOn();
  expect((await awaitMembers(lab.machine("db-1"), 3)).leader).toBe(next);
  expect(await holders()).toEqual([next]);
}, 600_000);

test("strict: the replica that commits wait for loses its power, and another one takes its place", async () => {
  const { standby } = await awaitMembers(lab.machine("db-1"), 3);
  const { done } = await during("strict, the synchronous replica's power is cut", async () => {
    await lab.machine(standby).cutPower();
    await delay(25_000);
  });
  const longest = Math.max(...done.map(({ ms }) => ms)) / 1000;
  figure(`strict, the synchronous replica's power is cut: a commit took ${longest.toFixed(1)} s`);
  await lab.machine(standby).powerOn();
  await awaitMembers(lab.machine("db-1"), 3);
}, 400_000);

test("strict: while there is no second copy nothing is acknowledged, and all goes on with one", async () => {
  const { leader } = await awaitMembers(lab.machine("db-1"), 3);
  const replicas = THREE.filter((name) => name !== leader);
  let [from, to] = [0, 0];
  const { done } = await during("strict, both replicas away", async () => {
    await Promise.all(replicas.map((name) => lab.machine(name).cutPower()));
    await delay(1000); // for what they had already
    from = await now("client");
    await delay(12_000);
    to = await now("client");
    for (const name of replicas) await lab.machine(name).powerOn();
    await awaitMembers(lab.machine("db-1"), 3);
    await delay(3000);
  });
  expect(done.filter(({ at, ms }) => at + ms > from && at + ms < to)).toEqual([]);
  const after = done.find(({ at, ms }) => at + ms >= to)!;
  figure(`strict: acknowledged again ${((after.at + after.ms - to) / 1000).toFixed(1)} s after power-on`);
  await untilReported();
}, 400_000);

const FILLED = "/var/lib/postgresql/filled";
const fill = (name: string): Promise<unknown> =>
  lab.machine(name).ssh(`dd if=/dev/zero of=${FILLED} bs=1M 2>/dev/null; sync`, { allowFailure: true });
const leadsAt = (name: string): Promise<unknown> =>
  waitUntil(
    async () =>
      (await membersOf(lab.machine(name))).some((member) => member.name === name && member.role === "leader"),
    120,
    () => "nobody took over",
  );

test("two members and votes elsewhere: a primary whose disk is full hands over by command", async () => {
  await twoSets(TWO, "on").deploy();
  const { leader, standby } = await awaitMembers(lab.machine("db-1"), 2);
  const { done } = await during("the primary's disk is full", async () => {
    await fill(leader);
    await delay(3000);
    // it goes on waiting until the old primary follows, which needs room
    const machine = lab.machine(leader);
    await machine.ssh(
      "systemd-run --quiet --unit=hand-over /usr/local/lib/cdktf-ha/postgres/member switchover",
    );
    let said = "";
    await waitUntil(
      async () => {
        said = (await machine.ssh("journalctl --unit=hand-over --output=cat")).stdout;
        return said.includes("switched over in");
      },
      150,
      () => `the primary does not hand over: ${said}`,
    );
    await machine.ssh("systemctl stop hand-over");
    await leadsAt(standby);
    await written(WRITES, lab.machine(standby).address);
    await writerGoesOn(WRITES);
  });
  expect(done.at(-1)!.server).toBe(lab.machine(standby).address);
  await lab.machine(leader).ssh(`rm ${FILLED}`);
  await awaitMembers(lab.machine(standby), 2, standby);
  expect(await twoSets(TWO, "on").isUpToDate()).toBe(true);
}, 800_000);

test("all of them lose their power in one moment: they come back by themselves, with every row", async () => {
  await during("every machine's power is cut", async () => {
    await Promise.all(EVERYBODY.map((name) => lab.machine(name).cutPower()));
    const start = performance.now();
    await Promise.all(EVERYBODY.map((name) => lab.machine(name).powerOn()));
    const written = (): Promise<boolean> =>
      psql(lab.machine("client"), WRITES, "insert into numbers values (0)").then(
        () => true,
        () => false,
      );
    await waitUntil(written, 90, () => "no write");
    figure(
      `every machine's power is cut: a write ${((performance.now() - start) / 1000).toFixed(1)} s after`,
    );
    await awaitMembers(lab.machine("db-1"), 2);
  });
  // what etcd says is from before the cut at first, and the address follows the promotion
  let seen = "";
  await waitUntil(
    async () => {
      const { leader } = await awaitMembers(lab.machine("db-1"), 2);
      const [held, told] = [await holders(TWO), await reports()];
      seen = JSON.stringify({ leader, held, told });
      return held.join() === leader && isDeepStrictEqual(told, REPORTS_WELL);
    },
    120,
    () => seen,
  );
}, 600_000);
