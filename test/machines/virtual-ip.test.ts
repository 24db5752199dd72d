import {
  HaproxyKeepalivedPair,
  HealthCheck,
  KeepalivedPair,
  Peer,
  Port,
  ServiceTier,
  VirtualIp,
  type Service,
} from "cdktf-ha-clusters";
import type { TerraformStack } from "cdktf";
import { Load } from "../../machines/load";
import type { Lab } from "../../machines/lab";
import { waitUntil } from "../../machines/run";
import { Deployment } from "../support/deployment";
import { hasAddress, OPERATOR, rackOf, siteService, startSite, VIP } from "./support/site";

/** The other shapes: both nodes active, IPv6, HAProxy alone, a virtual IP alone. */
let lab: Lab;
const SECOND = "10.77.0.101";
const SIX = "fd00:77::100";

beforeAll(async () => {
  lab = await startSite(["lb-1", "lb-2", "web-1", "web-2"]);
});
afterAll(() => lab.stop());

const deployment = (build: (stack: TerraformStack) => void): Deployment =>
  new Deployment(`${lab.directory}/deployment`, build);
const answers = async (address: string): Promise<string | undefined> =>
  fetch(`http://${address}/`).then(
    (response) => response.text(),
    () => undefined,
  );

/** A daemon that may not write where keepalived looks. */
const app: Service = {
  name: "app",
  describe: () => ({
    files: [
      {
        path: "/etc/systemd/system/app.service",
        text: "[Service]\nUser=nobody\nProtectSystem=strict\nExecStart=/bin/sleep infinity\n",
      },
    ],
    units: ["app.service"],
  }),
};

function webOf(
  stack: TerraformStack,
  ...more: Service[]
): { rack: ReturnType<typeof rackOf>; web: ServiceTier } {
  const rack = rackOf(stack, lab);
  const web = new ServiceTier(stack, "web", {
    platform: rack,
    nodes: ["web-1", "web-2"],
    port: 80,
    services: [siteService(), ...more],
  });
  return { rack, web };
}

test("both nodes active: each has an address, and takes the other's when it dies; by preemption it gives it back", async () => {
  await deployment((stack) => {
    const { rack, web } = webOf(stack);
    const lb = new HaproxyKeepalivedPair(stack, "lb", {
      platform: rack,
      maximumConnections: 4000,
      virtualIps: {
        one: {
          addresses: [VirtualIp.layer2(`${VIP}/24`)],
          preferredNode: "lb-1",
          preempt: true,
          preemptDelay: 1,
        },
        two: {
          addresses: [VirtualIp.layer2(`${SECOND}/24`)],
          preferredNode: "lb-2",
          preempt: true,
          preemptDelay: 1,
        },
      },
    });
    lb.balance("web", { port: 80, to: web, check: HealthCheck.http("/"), clients: [Peer.cidr(OPERATOR)] });
  }).deploy();
  const [one, two] = [lab.machine("lb-1"), lab.machine("lb-2")];
  const spread = async (): Promise<boolean> =>
    (await hasAddress(one, VIP)) && (await hasAddress(two, SECOND));
  await waitUntil(spread, 20, () => "the addresses are not spread", 200);
  expect(await hasAddress(one, SECOND)).toBe(false);
  await one.cutPower();
  await waitUntil(
    () => hasAddress(two, VIP),
    30,
    () => "the address did not move",
  );
  expect(await answers(VIP)).toMatch(/web/);
  expect(await answers(SECOND)).toMatch(/web/);
  await one.powerOn();
  await waitUntil(spread, 20, () => "the address did not come back", 200);
  expect(await hasAddress(two, VIP)).toBe(false);
});

test("IPv6 beside IPv4: both addresses move together", async () => {
  const bridge = lab.bridgeOf("10.77.0.11");
  await lab.run("ip", ["address", "add", "fd00:77::1/64", "dev", bridge]);
  for (const [name, address] of [
    ["lb-1", "fd00:77::11"],
    ["lb-2", "fd00:77::12"],
  ] as const) {
    await lab.machine(name).ssh(`ip address add ${address}/64 dev eth0`);
  }
  await deployment((stack) => {
    const { rack, web } = webOf(stack);
    const lb = new HaproxyKeepalivedPair(stack, "lb", {
      platform: rack,
      maximumConnections: 4000,
      virtualIps: { dual: { addresses: [VirtualIp.layer2(`${VIP}/24`), VirtualIp.layer2(`${SIX}/64`)] } },
    });
    lb.balance("web", {
      port: 80,
      to: web,
      check: HealthCheck.http("/"),
      clients: [Peer.cidr(OPERATOR), Peer.cidr("fd00:77::1")],
    });
  }).deploy();
  const [one, two] = [lab.machine("lb-1"), lab.machine("lb-2")];
  const active = async (): Promise<typeof one> => ((await hasAddress(one, SIX)) ? one : two);
  await waitUntil(
    async () => (await answers(`[${SIX}]`)) !== undefined,
    15,
    () => "the IPv6 address does not answer",
    200,
  );
  const first = await active();
  expect(await hasAddress(first, VIP)).toBe(true);
  const load = Load.start({ url: `http://[${SIX}]/`, perSecond: 50 });
  await first.cutPower();
  const other = first === one ? two : one;
  await waitUntil(
    async () => (await hasAddress(other, SIX)) && (await hasAddress(other, VIP)),
    30,
    () => "did not move",
  );
  await waitUntil(
    async () => (await answers(`[${SIX}]`)) !== undefined,
    15,
    () => "the IPv6 address does not answer any more",
  );
  const { longestGapMs } = await load.stop();
  process.stderr.write(`IPv6, power cut: longest gap ${Math.round(longestGapMs)} ms\n`);
  await first.powerOn();
});

test("HAProxy on one node, without a virtual IP", async () => {
  await deployment((stack) => {
    const { rack, web } = webOf(stack);
    const lb = new HaproxyKeepalivedPair(stack, "lb", {
      platform: rack,
      nodes: ["lb-1"],
      maximumConnections: 4000,
    });
    lb.balance("web", { port: 80, to: web, check: HealthCheck.http("/"), clients: [Peer.cidr(OPERATOR)] });
  }).deploy();
  expect(await answers("10.77.0.11")).toMatch(/web/);
  // the second node has left the code, keepalived has left the first
  expect(
    (await lab.machine("lb-1").ssh("systemctl is-active keepalived", { allowFailure: true })).stdout,
  ).toBe("inactive\n");
  expect((await lab.machine("lb-2").ssh("systemctl is-active haproxy", { allowFailure: true })).stdout).toBe(
    "inactive\n",
  );
  expect(await hasAddress(lab.machine("lb-1"), VIP)).toBe(false);
});

test("a virtual IP without HAProxy, for a daemon that is there already", async () => {
  await deployment((stack) => {
    const { rack, web } = webOf(stack, app);
    web.connections.allowFrom(Peer.cidr(OPERATOR), Port.tcp(80));
    new KeepalivedPair(stack, "vip", {
      platform: rack,
      nodes: { "web-1": web.machines[0]!, "web-2": web.machines[1]! },
      virtualIps: { site: { addresses: [VirtualIp.layer2(`${VIP}/24`)] } },
      units: ["nginx.service", "app.service"],
    });
  }).deploy();
  await waitUntil(
    async () => (await answers(VIP)) === "web-1\n",
    15,
    () => "the first node does not serve",
    200,
  );
  for (const [unit, from, to] of [
    ["nginx", "web-1", "web-2"],
    ["app", "web-2", "web-1"],
  ] as const) {
    await lab.machine(from).ssh(`systemctl stop ${unit}`);
    await waitUntil(
      async () => (await answers(VIP)) === `${to}\n`,
      20,
      () => `the address did not move to ${to}`,
      50,
    );
    await lab.machine(from).ssh(`systemctl start ${unit}`);
    await waitUntil(
      async () => (await lab.machine(from).ssh("cat /run/cdktf-ha-vrrp/site")).stdout === "BACKUP\n",
      15,
      () => `${from} does not come back`,
      200,
    );
  }
});
