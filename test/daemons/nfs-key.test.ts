import { program, root, testWithNeeds } from "../support/needs";
import { CorosyncPair, until } from "./support/corosync-pair";

/** Two real corosyncs that serve go over to another key, whatever happens on the way. */
const withCorosync = testWithNeeds([program("corosync"), program("nsenter"), root]);
const [OLD, NEW, THIRD] = ["the first secret", "the second secret", "a third one"];
jest.setTimeout(300_000);
let pair: CorosyncPair;

async function begin(votes: 1 | 2 = 2): Promise<CorosyncPair> {
  pair = new CorosyncPair(votes);
  await pair.start(OLD);
  pair.knows(OLD, NEW, THIRD);
  return pair;
}
afterEach(() => pair.stop());

async function isThrough(secret = NEW): Promise<void> {
  for (const node of [pair.one, pair.two]) {
    expect([node.keyOf(OLD, NEW), node.isGoingOver]).toEqual([secret, false]);
    expect(node.must("ls /etc/corosync")).toBe("authkey\ncorosync.conf\n");
    expect(node.must("stat --format %a /etc/corosync/authkey")).toBe("600\n");
  }
  await pair.together();
  // what they use, and not only what they have on disk
  await pair.reboot(pair.two);
  await pair.together();
}

withCorosync("nobody is missed meanwhile, for however short a time", async () => {
  const { one, two } = await begin();
  const ring = one.ring;
  two.take(NEW);
  for (const node of [two, one, two]) node.step();
  expect([one.keyOf(OLD, NEW), two.keyOf(OLD, NEW)]).toEqual([OLD, OLD]);
  one.take(NEW);
  expect(await pair.untilThrough()).toBeLessThanOrEqual(3);
  expect([one.ring, two.ring]).toEqual([ring, ring]);
  await isThrough();
});

/** Both have got the key, and this many steps were done, the second node first; then these lose power. */
async function cutShort(steps: number, votes: 1 | 2, ...names: readonly ("one" | "two")[]): Promise<void> {
  const { one, two } = await begin(votes);
  for (const node of [two, one]) node.take(NEW);
  for (const node of [two, one, two, one].slice(0, steps)) node.step();
  await pair.reboot(...names.map((name) => pair[name]));
}

withCorosync.each([1, 2, 3])(
  "%d steps done, and the second node loses power: the first one, which serves, waits for it with its key",
  async (steps) => {
    await cutShort(steps, 2, "two");
    if (!pair.one.hearsTheOther) {
      const before = pair.one.keyOf(OLD, NEW);
      pair.one.step(1);
      expect(pair.one.keyOf(OLD, NEW)).toBe(before);
    }
    await pair.untilThrough();
    await isThrough();
  },
);

withCorosync.each([2, 3])(
  "%d steps done, and the first node loses power: it begins to serve, and the second one finds its key",
  async (steps) => {
    await cutShort(steps, 2, "one");
    await pair.untilThrough();
    await isThrough();
  },
);

withCorosync.each([2])(
  "%d steps done, and both lose power, with no third vote: they find each other",
  async (steps) => {
    await cutShort(steps, 1, "one", "two");
    await pair.untilThrough();
    await isThrough();
  },
);

withCorosync(
  "it is taken back where the other node knows nothing of it, and a third secret is refused",
  async () => {
    const { one, two } = await begin();
    two.take(NEW);
    for (const node of [two, one]) node.step();
    const refused = two.shell(
      `printf %s '${THIRD}' >/etc/cdktf-ha/drbd-nfs.key; pair_fail_if_secret_refused`,
    );
    expect(refused).toEqual({
      status: 1,
      words: expect.stringContaining("going over to another secret still"),
    });
    two.take(OLD);
    expect(two.isGoingOver).toBe(false);
    expect(two.keyOf(OLD, NEW)).toBe(OLD);
    // a push that is taken back after both have begun does not stop what goes on
    for (const node of [two, one]) node.take(NEW);
    for (const node of [two, one]) node.step();
    one.take(OLD);
    expect(one.isGoingOver).toBe(true);
    expect(one.shell("pair_fail_if_secret_refused").status).toBe(1);
    one.take(NEW);
    await pair.untilThrough();
    await isThrough();
  },
);

withCorosync(
  "a new machine that got the wrong secret finds the pair when it gets the right one",
  async () => {
    const { two } = await begin();
    await two.isReplaced();
    two.take(NEW);
    await two.start();
    two.take(OLD);
    await pair.untilThrough();
    await isThrough(OLD);
  },
);

withCorosync(
  "a node is ready, and a new machine comes in the other one's place: it goes over alone, in time",
  async () => {
    const { one, two } = await begin();
    for (const node of [two, one]) node.take(NEW);
    for (const node of [two, one]) node.step();
    await two.isReplaced();
    two.take(NEW);
    await two.start();
    await until(() => !one.hearsTheOther, "nobody is missed");
    one.step();
    one.step();
    expect([one.keyOf(OLD, NEW), one.hearsTheOther]).toEqual([NEW, false]);
    one.must("touch --date '6 minutes ago' /run/cdktf-ha-nfs-key-alone");
    one.step();
    await pair.untilThrough();
    await isThrough();
  },
);
