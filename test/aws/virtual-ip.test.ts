import { setTimeout as delay } from "node:timers/promises";
import { KeepalivedPair, Peer, Port, Secret, ServiceTier, VirtualIp, type Service } from "cdktf-ha-clusters";
import type { TerraformStack } from "cdktf";
import { CLIENT, type Cloud } from "../../machines/aws/cloud";
import type { Lab, LabMachine } from "../../machines/lab";
import { Load } from "../../machines/load";
import { waitUntil } from "../../machines/run";
import { report } from "../machines/support/haproxy";
import { siteService } from "../machines/support/site";
import { Account } from "./support/account";
import { AwsDeployment } from "./support/deployment";
import { OPERATORS, platformOf, startCloud, type Network } from "./support/site";

/**
 * Addresses that AWS moves. `edge` is in two zones and has an elastic address and one that route tables lead to; `inner`
 * is in one zone and has a secondary private address.
 */
let lab: Lab;
let cloud: Cloud;
let network: Network;
let account: Account;
let deployment: AwsDeployment;
let elastic: string;
const ROUTED = "10.99.0.10";
const SECONDARY = "10.77.1.100";
const SECRET = "swordfish";

const holders = {
  elastic: () => account.holders({ elastic }),
  route: () => account.holders({ route: ROUTED }),
  secondary: () => account.holders({ secondary: SECONDARY }),
};

const secret = Secret.awsSecretsManager("site/vault");
/** A text that only this machine may read, with the right of its own role. */
const secretService: Service = {
  name: "vault",
  describe: () => ({
    files: [{ path: "/etc/vault", text: `${secret.placeholder}\n`, mode: "0600", onChange: "none" }],
    secrets: [secret],
  }),
};

function build(advertInterval = 0.3): (stack: TerraformStack) => void {
  return (stack) => {
    const platform = platformOf(stack, lab, network);
    const tier = (
      name: string,
      nodes: Record<string, { zone: string; privateAddress: string }>,
    ): ServiceTier => {
      const made = new ServiceTier(stack, name, {
        platform,
        nodes,
        port: 80,
        services: name === "inner" ? [siteService(), secretService] : [siteService()],
      });
      for (const client of [Peer.cidr(CLIENT), ...OPERATORS])
        made.connections.allowFrom(client, Port.tcp(80));
      return made;
    };
    const edge = tier("edge", {
      "edge-1": { zone: "a", privateAddress: "10.77.1.11" },
      "edge-2": { zone: "b", privateAddress: "10.77.2.11" },
    });
    const inner = tier("inner", {
      "inner-1": { zone: "a", privateAddress: "10.77.1.21" },
      "inner-2": { zone: "a", privateAddress: "10.77.1.22" },
    });
    const pair = (id: string, { machines }: ServiceTier, addresses: readonly VirtualIp[]): void => {
      new KeepalivedPair(stack, id, {
        platform,
        nodes: Object.fromEntries(machines.map((machine) => [machine.name, machine])),
        virtualIps: { main: { addresses, advertInterval } },
        units: ["nginx.service"],
      });
    };
    pair("edge-ip", edge, [
      VirtualIp.elastic(),
      VirtualIp.routeTable(ROUTED, { routeTableIds: [network.routeTableId] }),
    ]);
    pair("inner-ip", inner, [VirtualIp.secondaryPrivateIp(SECONDARY)]);
  };
}

const stateOf = async (name: string): Promise<string> => {
  const machine = lab.machine(name);
  if (!machine.isOn) return "off";
  return (await machine.ssh("cat /run/cdktf-ha-vrrp/main 2>/dev/null", { allowFailure: true })).stdout.trim();
};

/** The one that is master, once there is exactly one and AWS agrees, and the other one. */
async function roles(pair: "edge" | "inner"): Promise<{ active: LabMachine; standby: LabMachine }> {
  const names = [`${pair}-1`, `${pair}-2`] as const;
  let masters: string[] = [];
  let held: string[] = [];
  await waitUntil(
    async () => {
      const states = await Promise.all(names.map(stateOf));
      masters = names.filter((_, index) => states[index] === "MASTER");
      held =
        pair === "edge"
          ? [...(await holders.elastic()), ...(await holders.route())]
          : await holders.secondary();
      return masters.length === 1 && held.every((name) => name === masters[0]);
    },
    30,
    () => `masters of ${pair}: ${masters.join()}, holders at AWS: ${held.join()}`,
    200,
  );
  const [first, second] = names.map((name) => lab.machine(name)) as [LabMachine, LabMachine];
  return masters[0] === first.name ? { active: first, standby: second } : { active: second, standby: first };
}

/** What the hooks said since a moment. */
const journal = async (machine: LabMachine, since: number): Promise<string> =>
  (await machine.ssh(`sudo journalctl --no-pager -o cat -t cdktf-ha-vrrp --since @${Math.floor(since)}`))
    .stdout;
const now = (): number => Date.now() / 1000;

beforeAll(async () => {
  ({ lab, cloud, network } = await startCloud());
  account = new Account(cloud);
  await cloud.call("secretsmanager", "create_secret", {
    Name: "site/vault",
    SecretString: SECRET,
  });
  deployment = await AwsDeployment.create(lab, cloud, build());
}, 120_000);
afterAll(async () => {
  await cloud.stop();
  await lab.stop();
});

test("the active node has its addresses at AWS, and a secret that it read with its own right", async () => {
  const { seconds, added } = await deployment.deploy();
  report("apply", `${seconds.toFixed(1)} s, ${added} resources`);
  [elastic] = (await account.all<{ PublicIp: string }>("addresses")).map(({ PublicIp }) => PublicIp) as [
    string,
  ];
  await roles("edge");
  await roles("inner");
  expect((await lab.machine("inner-1").ssh("sudo cat /etc/vault")).stdout).toBe(`${SECRET}\n`);
  expect(cloud.calls.filter((call) => JSON.stringify(call).includes(SECRET))).toEqual([]);
});

test("power cuts: every address moves, AWS says so, and Terraform wants none of them back", async () => {
  const [edge, inner] = [await roles("edge"), await roles("inner")];
  const addresses = { elastic, route: ROUTED, secondary: SECONDARY };
  const loads = Object.entries(addresses).map(([mode, address]) => {
    const load = Load.start({ url: `http://${address}/`, perSecond: 20, timeoutMs: 400 });
    return { mode, load };
  });
  await delay(500);
  const cut = now();
  await Promise.all([edge.active.cutPower(), inner.active.cutPower()]);
  await waitUntil(
    async () => {
      const held = await Promise.all([holders.elastic(), holders.route(), holders.secondary()]);
      return held.join() === [edge.standby.name, edge.standby.name, inner.standby.name].join();
    },
    20,
    () => "the addresses did not move",
    100,
  );
  await delay(1500);
  for (const { mode, load } of loads) {
    const result = await load.stop();
    const call = {
      elastic: "AssociateAddress",
      route: "ReplaceRoute",
      secondary: "AssignPrivateIpAddresses",
    }[mode];
    const taken = cloud
      .callsOf(/\/i-/, cut)
      .find(({ action, status, dryRun }) => action === `ec2:${call}` && status === 200 && !dryRun);
    report(
      `power cut, ${mode}`,
      `longest gap ${(result.longestGapMs / 1000).toFixed(2)} s, call ${(taken!.at - cut).toFixed(2)} s after the cut`,
    );
    expect(result.requests.at(-1)!.ok).toBe(true);
    expect(result.longestGapMs).toBeLessThan(15_000);
  }
  expect((await deployment.plan()).actions).toEqual({});
  const since = now();
  await Promise.all([edge.active.powerOn(), inner.active.powerOn()]);
  await delay(2000);
  expect((await roles("edge")).active).toBe(edge.standby);
  expect((await roles("inner")).active).toBe(inner.standby);
  // who comes back takes nothing
  const taken = cloud.callsOf(/\/i-/, since).filter(({ action }) => !action.includes(":Describe"));
  expect(taken).toEqual([]);
});

test("two masters at once: the claim that comes again puts right what the last call got wrong", async () => {
  await lab.partition(["edge-1"], ["edge-2"]);
  await waitUntil(
    async () => (await stateOf("edge-1")) === "MASTER" && (await stateOf("edge-2")) === "MASTER",
    15,
    () => "no two masters",
  );
  await lab.heal();
  const { active, standby } = await roles("edge");
  // the worst order of their calls: the one that lost the election was the last
  const interfaces = await account.all<{ NetworkInterfaceId: string; PrivateIpAddress: string }>(
    "network_interfaces",
  );
  const loser = interfaces.find(({ PrivateIpAddress }) => PrivateIpAddress === standby.address)!;
  const [address] = await account.all<{ AllocationId: string }>("addresses");
  const wrong = now();
  await cloud.call("ec2", "associate_address", {
    AllocationId: address!.AllocationId,
    NetworkInterfaceId: loser.NetworkInterfaceId,
    AllowReassociation: true,
  });
  await cloud.call("ec2", "replace_route", {
    RouteTableId: network.routeTableId,
    DestinationCidrBlock: `${ROUTED}/32`,
    NetworkInterfaceId: loser.NetworkInterfaceId,
  });
  expect(await holders.elastic()).toEqual([standby.name]);
  expect((await roles("edge")).active).toBe(active);
  report("two masters, the wrong one holds", `healed after ${(now() - wrong).toFixed(1)} s`);
});

/** The active node gives up; tells when AWS gives the addresses to the other one. */
async function failover(action: () => Promise<void> = () => Promise.resolve()): Promise<{
  seconds: number;
  words: string;
  taker: LabMachine;
}> {
  const { active, standby } = await roles("edge");
  const since = now();
  await active.ssh("sudo systemctl stop keepalived");
  await action();
  expect((await roles("edge")).active).toBe(standby);
  const result = { seconds: now() - since, words: await journal(standby, since), taker: standby };
  await active.ssh("sudo systemctl start keepalived");
  await waitUntil(
    async () => (await stateOf(active.name)) === "BACKUP",
    15,
    () => "the node does not come back",
  );
  return result;
}

test("the API cannot be reached while addresses have to move: tried again with longer pauses, healed when it is back", async () => {
  await cloud.setReachable(false);
  const { standby } = await roles("edge");
  const { seconds, words } = await failover(async () => {
    await waitUntil(
      async () => (await journal(standby, now() - 60)).includes("Connect timeout"),
      30,
      () => "the journal says nothing",
      500,
    );
    expect(await holders.elastic()).not.toEqual([standby.name]);
    await cloud.setReachable(true);
  });
  expect(words).toMatch(/elastic address \S+ is here after \d+ s/);
  expect(words).toMatch(/route to \S+ in \S+ leads here after \d+ s/);
  report("API gone during a failover", `addresses moved ${seconds.toFixed(1)} s after it began`);
});

test("the API throttles, and it answers late: tried again", async () => {
  const actions = ["AssociateAddress", "ReplaceRoute"];
  await cloud.faults({ actions, kind: "throttled", count: 6 });
  const throttled = await failover();
  expect(throttled.words).toContain("RequestLimitExceeded");
  report("API throttled, six times", `addresses moved after ${throttled.seconds.toFixed(1)} s`);
  // later than the hook waits: the call is carried out all the same, and the next one finds it done
  await cloud.faults({ actions, kind: "late", seconds: 7, count: 2 });
  const late = await failover();
  expect(late.words).toContain("Read timeout");
  report("API late by 7 s", `addresses moved after ${late.seconds.toFixed(1)} s`);
  await cloud.faults();
});
