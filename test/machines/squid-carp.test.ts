import { Peer, ServiceTier, SquidGeoProxyTier, VirtualIp } from "cdktf-ha-clusters";
import type { TerraformStack } from "cdktf";
import type { Lab } from "../../machines/lab";
import { waitUntil } from "../../machines/run";
import { Deployment } from "../support/deployment";
import { ask, type Answer } from "./support/ask";
import { report } from "./support/haproxy";
import { ADDRESSES, OPERATOR, rackOf, startSite, VIP } from "./support/site";
import { originService, SITE } from "./support/squid-site";

/** Three proxies of one region that share by CARP: each object belongs to one of them. */
let lab: Lab;
const PROXIES = ["lb-1", "lb-2", "db-1"] as const;
type Proxy = (typeof PROXIES)[number];

beforeAll(async () => {
  lab = await startSite([...PROXIES, "web-1"], "tests");
  await new Deployment(`${lab.directory}/deployment`, tier).deploy();
}, 600_000);
afterAll(() => lab.stop());

function tier(stack: TerraformStack): void {
  const rack = rackOf(stack, lab);
  const web = new ServiceTier(stack, "web", {
    platform: rack,
    nodes: ["web-1"],
    port: 8080,
    services: [originService],
  });
  new SquidGeoProxyTier(stack, "front", {
    regions: { uk: { platform: rack, nodes: [...PROXIES], virtualIp: VirtualIp.layer2(`${VIP}/24`) } },
    sites: [".site.example"],
    origins: web,
    siblings: { protocol: "carp" },
    clients: [Peer.cidr(OPERATOR)],
    cache: { memoryMiB: 32, disk: false, collapsedForwarding: true },
    openFiles: 4096,
  });
}

const get = (path: string, proxy: Proxy, headers: Record<string, string> = {}): Promise<Answer> =>
  ask({ path, name: SITE, address: ADDRESSES[proxy], headers, timeoutSeconds: 30 });
const paths = (prefix: string): string[] =>
  [...Array(18).keys()].map((index) => `/static/${prefix}-${index}`);

async function fetches(path: string): Promise<number> {
  const { stdout } = await lab.machine("web-1").ssh(`grep -cF ' ${path} ' /var/log/nginx/seen.log || true`);
  return Number(stdout);
}

/** Proxies that have a path in their own cache. */
async function holders(path: string, proxies: readonly Proxy[] = PROXIES): Promise<Proxy[]> {
  const found: Proxy[] = [];
  for (const proxy of proxies) {
    const { status } = await get(path, proxy, { "Cache-Control": "only-if-cached" });
    if (status === 200) found.push(proxy);
  }
  return found;
}

/** A node that found another one away, as it is before its first start, looks again when it is asked, once a second. */
async function awaitWholeArray(): Promise<void> {
  let round = 0;
  let inARow = 0;
  await waitUntil(
    async () => {
      const path = `/static/whole-${++round}`;
      for (const proxy of PROXIES) await get(path, proxy);
      inARow = (await fetches(path)) === 1 ? inARow + 1 : 0;
      return inARow === 6;
    },
    60,
    () => "nodes do not find each other",
    200,
  );
  report("paths until every node asks the others", String(round - inARow));
}

test("each object is fetched once for all and kept by one node; every node has a share", async () => {
  await awaitWholeArray();
  const shares: Record<string, number> = {};
  for (const path of paths("spread")) {
    for (const proxy of [...PROXIES, ...PROXIES]) expect((await get(path, proxy)).status).toBe(200);
    expect([path, await fetches(path)]).toEqual([path, 1]);
    const kept = await holders(path);
    expect([path, kept]).toEqual([path, [expect.any(String)]]);
    shares[kept[0]!] = (shares[kept[0]!] ?? 0) + 1;
  }
  report("objects of each node", JSON.stringify(shares));
  expect(Object.keys(shares).sort()).toEqual([...PROXIES].sort());
});

test("many at once, at every node: one fetch", async () => {
  const path = "/static/at-once";
  const answers = await Promise.all([...Array(24).keys()].map((index) => get(path, PROXIES[index % 3]!)));
  expect(answers.map(({ status }) => status)).toEqual(Array(24).fill(200));
  expect(await fetches(path)).toBeLessThanOrEqual(2);
});

test("origins are told of the visitor, whichever node asks; what a visitor claims reaches nobody; loops end", async () => {
  for (const path of paths("honest").slice(0, 6)) {
    const { body } = await get(path, "lb-1", {
      "X-Forwarded-For": "6.6.6.6",
      "X-Forwarded-Proto": "https",
      "Front-End-Https": "On",
      Forwarded: "for=6.6.6.6",
    });
    expect(JSON.parse(body)).toMatchObject({
      for: OPERATOR,
      proto: "http",
      frontEnd: "",
      forwarded: "",
      host: SITE,
    });
  }
  // an answer that nobody may keep comes through as well
  expect((await get("/page/1", "lb-2")).status).toBe(200);
  expect(
    (await ask({ path: "/page/2", name: SITE, method: "POST", address: ADDRESSES["lb-2"] })).status,
  ).toBe(200);
  expect((await get("/page/3", "lb-1", { Via: "1.1 db-1 (squid/5.7)" })).status).toBe(403);
});

test("a node loses power: its share goes to the others, what they have stays; it comes back", async () => {
  const all = paths("power");
  for (const path of all) await get(path, "lb-1");
  const owners = new Map<string, Proxy>();
  for (const path of all) owners.set(path, (await holders(path))[0]!);
  await lab.machine("db-1").cutPower();
  const left = ["lb-1", "lb-2"] as const;
  let slowest = 0;
  for (const path of all) {
    for (const proxy of left) {
      const start = performance.now();
      expect((await get(path, proxy)).status).toBe(200);
      slowest = Math.max(slowest, performance.now() - start);
    }
  }
  report("a node without power, the slowest answer", `${Math.round(slowest)} ms`);
  expect(slowest).toBeLessThan(10_000);
  const lost = all.filter((path) => owners.get(path) === "db-1");
  expect(lost.length).toBeGreaterThan(0);
  for (const path of all.filter((each) => !lost.includes(each)))
    expect([path, await fetches(path)]).toEqual([path, 1]);
  // while it was not known to be gone, whoever asked may have fetched for itself
  const again = paths("without");
  for (const path of again) {
    for (const proxy of left) await get(path, proxy);
    expect([path, await fetches(path)]).toEqual([path, 1]);
    expect([path, await holders(path, left)]).toEqual([path, [expect.any(String)]]);
  }
  await lab.machine("db-1").powerOn();
  let round = 0;
  await waitUntil(
    async () => {
      const path = `/static/back-${++round}`;
      await get(path, "lb-1");
      return (await holders(path, ["db-1"]).catch(() => [])).length === 1;
    },
    90,
    () => "the node gets no share",
    300,
  );
}, 480_000);
