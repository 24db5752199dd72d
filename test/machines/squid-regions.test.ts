import { Peer, ServiceTier, SquidGeoProxyTier, VirtualIp } from "cdktf-ha-clusters";
import type { TerraformStack } from "cdktf";
import type { Lab } from "../../machines/lab";
import { Load } from "../../machines/load";
import { Deployment } from "../support/deployment";
import { ask } from "./support/ask";
import { report } from "./support/haproxy";
import { OPERATOR, rackOf, startSite, VIP } from "./support/site";
import { originService, SITE } from "./support/squid-site";

/** Regions come and go; each shares its cache among its own nodes only. */
let lab: Lab;
const FAR_VIP = "10.77.0.101";

beforeAll(async () => {
  lab = await startSite(["lb-1", "lb-2", "db-1", "db-2", "web-1"], "tests");
});
afterAll(() => lab.stop());

/** The near region on lb-1 and lb-2; the far one, where it is wanted, on db-1 and db-2. */
const tier =
  (far: boolean) =>
  (stack: TerraformStack): void => {
    const rack = rackOf(stack, lab);
    const web = new ServiceTier(stack, "web", {
      platform: rack,
      nodes: ["web-1"],
      port: 8080,
      services: [originService],
    });
    const region = (
      nodes: string[],
      address: string,
    ): { platform: typeof rack; nodes: string[]; virtualIp: VirtualIp } => ({
      platform: rack,
      nodes,
      virtualIp: VirtualIp.layer2(`${address}/24`),
    });
    new SquidGeoProxyTier(stack, "front", {
      regions: {
        near: region(["lb-1", "lb-2"], VIP),
        ...(far ? { far: region(["db-1", "db-2"], FAR_VIP) } : {}),
      },
      sites: [".site.example"],
      origins: web,
      siblings: { protocol: "htcp" },
      clients: [Peer.cidr(OPERATOR)],
      cache: { memoryMiB: 32, disk: false },
      openFiles: 4096,
    });
  };

const statusOf = async (path: string, address: string): Promise<number> =>
  (await ask({ path, address, name: SITE })).status;

async function fetches(path: string): Promise<number> {
  const { stdout } = await lab.machine("web-1").ssh(`grep -cF ' ${path} ' /var/log/nginx/seen.log || true`);
  return Number(stdout);
}

test("a region is added while the other one serves", async () => {
  const first = new Deployment(`${lab.directory}/deployment`, tier(false));
  await first.deploy();
  const both = await first.changed(tier(true)).prepare();
  const load = Load.start({
    url: `http://${VIP}/static/steady`,
    perSecond: 40,
    headers: { Host: SITE },
    timeoutMs: 15_000,
  });
  const { output } = await both.deploy();
  const result = await load.stop();
  report("a region added", result);
  expect(output).toContain("db-2 squid");
  expect(result.failed).toEqual([]);
  expect(await statusOf("/page/far", FAR_VIP)).toBe(200);
}, 300_000);

test("siblings share by HTCP within a region: one fetch for each region, and one only", async () => {
  const path = "/static/shared";
  for (const name of ["lb-1", "lb-2"]) expect(await statusOf(path, lab.machine(name).address)).toBe(200);
  expect(await fetches(path)).toBe(1);
  for (const name of ["db-1", "db-2"]) expect(await statusOf(path, lab.machine(name).address)).toBe(200);
  expect(await fetches(path)).toBe(2);
  for (const name of ["lb-2", "db-2"]) {
    const { stdout } = await lab.machine(name).ssh(`grep -F ${path} /var/log/squid/access.log`);
    expect(stdout).toContain("SIBLING_HIT");
  }
});

test("a region leaves: its nodes serve no more, the other one goes on", async () => {
  const fewer = await new Deployment(`${lab.directory}/deployment`, tier(false)).prepare();
  const load = Load.start({
    url: `http://${VIP}/static/steady`,
    perSecond: 40,
    headers: { Host: SITE },
    timeoutMs: 15_000,
  });
  await fewer.deploy();
  const result = await load.stop();
  report("a region removed", result);
  expect(result.failed).toEqual([]);
  const { stdout } = await lab.machine("db-1").ssh("systemctl is-active squid keepalived || true");
  expect(stdout).toBe("inactive\ninactive\n");
  expect(await fewer.isUpToDate()).toBe(true);
}, 300_000);
