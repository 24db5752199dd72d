import { setTimeout as delay } from "node:timers/promises";
import type { Cloud } from "../../machines/aws/cloud";
import type { Lab, LabMachine } from "../../machines/lab";
import { Load } from "../../machines/load";
import { run, waitUntil } from "../../machines/run";
import { report } from "../machines/support/haproxy";
import { Account } from "./support/account";
import { addresses, ROUTED, SECONDARY } from "./support/addresses";
import { DeployerPolicy, refusals } from "./support/deployer";
import { AwsDeployment } from "./support/deployment";
import { rightsOf } from "./support/rights";
import { startCloud, type Network } from "./support/site";

/** Seconds. A call by the command line of AWS takes ten of them on a busy computer, and some claims need eight calls. */
const PATIENCE = 300;

// Failovers of several pairs in one test, each with calls that are tried again.
jest.setTimeout(900_000);

/** Addresses that AWS moves. */
let lab: Lab;
let cloud: Cloud;
let network: Network;
let account: Account;
let deployment: AwsDeployment;
let elastic: string;
let policy: DeployerPolicy;
const SECRET = "swordfish";

/** Stack, cluster and machine. */
const roleOf = (name: string): string => `stack-${name.split("-")[0]}-${name}`;

const holders = {
  elastic: () => account.holders({ elastic }),
  route: () => account.holders({ route: ROUTED }),
  secondary: () => account.holders({ secondary: SECONDARY }),
};

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
    PATIENCE,
    () => `masters of ${pair}: ${masters.join()}, holders at AWS: ${held.join()}`,
    200,
  );
  const [first, second] = names.map((name) => lab.machine(name)) as [LabMachine, LabMachine];
  return masters[0] === first.name ? { active: first, standby: second } : { active: second, standby: first };
}

/** As the one that would take over. */
async function comesBack({ name }: LabMachine): Promise<void> {
  let state = "";
  await waitUntil(
    async () => (state = await stateOf(name)) === "BACKUP",
    PATIENCE,
    () => `${name} does not come back, it is '${state}'`,
    200,
  );
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
  policy = new DeployerPolicy([...DeployerPolicy.MACHINES, ...DeployerPolicy.INTERFACES], network);
  deployment = await AwsDeployment.create(lab, cloud, addresses(lab, network), { policy: policy.document });
}, 300_000);
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
    const load = Load.start({ url: `http://${address}/`, perSecond: 20, timeoutMs: 2000 });
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
    PATIENCE,
    () => "the addresses did not move",
    100,
  );
  // the network follows the API in its own time
  const answered = now() * 1000;
  const silent = (): string[] =>
    loads
      .filter(({ load }) => !load.soFar().succeeded.some(({ at }) => at > answered))
      .map(({ mode, load }) => `${mode}: ${load.soFar().failed.at(-1)?.error ?? "no failure either"}`);
  await waitUntil(
    () => silent().length === 0,
    PATIENCE,
    () => `no answer at the addresses that moved: ${silent().join("; ")}`,
    100,
  ).catch(async (error: unknown) => {
    const machines = await Promise.all(
      [edge.standby, inner.standby].map(async (machine) => {
        const { stdout } = await machine.ssh(
          "ip -brief address; systemctl is-active haproxy keepalived; sudo ss -Htln; sudo nft list ruleset | head -60; sudo journalctl -n 40 --no-pager",
        );
        return `${machine.name}\n${stdout}`;
      }),
    );
    const network = await run("sh", ["-c", "ip route; ip neigh; nft list ruleset"]);
    throw new Error([String(error), cloud.complaints, ...machines, network.stdout].join("\n"));
  });
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
  }
  expect((await deployment.plan()).actions).toEqual({});
  const since = now();
  await Promise.all([edge.active.powerOn(), inner.active.powerOn()]);
  for (const { active } of [edge, inner]) await comesBack(active);
  expect((await roles("edge")).active).toBe(edge.standby);
  expect((await roles("inner")).active).toBe(inner.standby);
  // who comes back takes nothing
  const back = new RegExp(`-(${edge.active.name}|${inner.active.name})/i-`);
  const taken = cloud.callsOf(back, since).filter(({ action }) => !action.includes(":Describe"));
  expect(taken).toEqual([]);
});

test("two masters at once: the claim that comes again puts right what the last call got wrong", async () => {
  await lab.partition(["edge-1"], ["edge-2"]);
  await waitUntil(
    async () => (await stateOf("edge-1")) === "MASTER" && (await stateOf("edge-2")) === "MASTER",
    PATIENCE,
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
  expect((await roles("edge")).active).toBe(active);
  report("two masters, the wrong one holds", `healed after ${(now() - wrong).toFixed(1)} s`);
});

/** The active node gives up; tells when AWS gives the addresses to the other one, which has said so. */
async function failover(action: () => Promise<void> = () => Promise.resolve()): Promise<{
  seconds: number;
  words: string;
}> {
  const { active, standby } = await roles("edge");
  const since = now();
  await active.ssh("sudo systemctl stop keepalived");
  await action();
  expect((await roles("edge")).active).toBe(standby);
  const seconds = now() - since;
  let words = "";
  await waitUntil(
    async () => {
      words = await journal(standby, since);
      return (
        /elastic address \S+ is here after \d+ s/.test(words) &&
        /route to \S+ in \S+ leads here after \d+ s/.test(words)
      );
    },
    PATIENCE,
    () => words,
    300,
  );
  const result = { seconds, words };
  await active.ssh("sudo systemctl start keepalived");
  await comesBack(active);
  return result;
}

test("the API cannot be reached while addresses have to move: tried again with longer pauses, healed when it is back", async () => {
  await cloud.setReachable(false);
  const { standby } = await roles("edge");
  const { seconds } = await failover(async () => {
    await waitUntil(
      async () => (await journal(standby, now() - 60)).includes("Connect timeout"),
      PATIENCE,
      () => "the journal says nothing",
      500,
    );
    expect(await holders.elastic()).not.toEqual([standby.name]);
    await cloud.setReachable(true);
  });
  report("API gone during a failover", `addresses moved ${seconds.toFixed(1)} s after it began`);
});

test("the API throttles, and it answers late: tried again", async () => {
  const actions = ["AssociateAddress", "ReplaceRoute"];
  // three each: six of one address would take it through all the longer pauses
  await cloud.faults(
    ...actions.map((action) => ({ actions: [action], kind: "throttled" as const, count: 3 })),
  );
  const throttled = await failover();
  expect(throttled.words).toContain("RequestLimitExceeded");
  report("API throttled, six times", `addresses moved after ${throttled.seconds.toFixed(1)} s`);
  // later than the CLI waits: the call is carried out all the same, and the next one finds it done
  await cloud.faults({ actions, kind: "late", seconds: 7, count: 2 });
  const late = await failover();
  expect(late.words).toContain("Read timeout");
  report("API late by 7 s", `addresses moved after ${late.seconds.toFixed(1)} s`);
  await cloud.faults();
});

test("rights that are missing: the apply names them, and a claim without them is loud in the journal", async () => {
  const edge = [await roles("edge")].flatMap(({ active, standby }) => [active, standby]);
  const forbidding = { PolicyName: "forbidding" };
  for (const { name } of edge) {
    const Statement = [{ Effect: "Deny", Action: "ec2:AssociateAddress", Resource: "*" }];
    const PolicyDocument = JSON.stringify({ Version: "2012-10-17", Statement });
    await cloud.call("iam", "put_role_policy", { RoleName: roleOf(name), ...forbidding, PolicyDocument });
  }
  const slower = deployment.changed(addresses(lab, network, 0.7));
  const refused = await slower.deploy().then(() => "applied", String);
  expect(refused).toMatch(/\[edge-\d keepalived\] \|.*not authorized to perform: ec2:AssociateAddress/);
  expect(refused).not.toMatch(/\[inner-\d keepalived\] FAILED/);
  const { standby } = await roles("edge");
  await failover(async () => {
    await waitUntil(
      async () => (await journal(standby, now() - 60)).includes("ec2:AssociateAddress"),
      PATIENCE,
      () => "the journal does not say what is missing",
      500,
    );
    for (const { name } of edge)
      await cloud.call("iam", "delete_role_policy", { RoleName: roleOf(name), ...forbidding });
  });
  await slower.deploy();
  deployment = slower;
}, 900_000); // a push that fails waits for its service to become healthy

test("a role's rights are what its machine called for, and nothing else", async () => {
  for (const name of ["edge-1", "edge-2", "inner-1", "inner-2"])
    expect([name, await rightsOf(cloud, roleOf(name))]).toEqual([name, { stray: [], unused: [] }]);
  report(
    "rights of edge-1",
    [...new Set(cloud.callsOf(/^stack-edge-edge-1\//).map(({ action }) => action))].join(),
  );

  const own = lab.machine("edge-1");
  const interfaces = await account.all<{ NetworkInterfaceId: string; PrivateIpAddress: string }>(
    "network_interfaces",
  );
  const of = (name: string): string =>
    interfaces.find(({ PrivateIpAddress }) => PrivateIpAddress === lab.machine(name).address)!
      .NetworkInterfaceId;
  const [allocation] = await account.all<{ AllocationId: string }>("addresses");
  const instances = await account.instances();
  const other = await account.all<{ RouteTableId: string }>("route_tables");
  const foreign = other.find(({ RouteTableId }) => RouteTableId !== network.routeTableId)!.RouteTableId;
  const forbidden = [
    "ec2 describe-instances",
    `ec2 stop-instances --instance-ids ${instances["edge-2"]!.InstanceId}`,
    `ec2 associate-address --allocation-id ${allocation!.AllocationId} --network-interface-id ${of("edge-2")}`,
    `ec2 associate-address --allocation-id eipalloc-0123456789abcdef0 --network-interface-id ${of("edge-1")}`,
    `ec2 replace-route --route-table-id ${foreign} --destination-cidr-block 0.0.0.0/0 --network-interface-id ${of("edge-1")}`,
    `ec2 assign-private-ip-addresses --network-interface-id ${of("inner-1")} --private-ip-addresses 10.77.1.200`,
    "secretsmanager get-secret-value --secret-id site/vault",
  ];
  for (const command of forbidden) {
    const { code, stderr } = await own.ssh(`AWS_DEFAULT_REGION=eu-west-1 aws ${command}`, {
      allowFailure: true,
    });
    expect([command, code, stderr]).toEqual([
      command,
      expect.any(Number),
      expect.stringMatching(/UnauthorizedOperation|AccessDenied/),
    ]);
  }
});

test("the deployer's policy allowed all of this up to the end, and of routes and interfaces nothing more", async () => {
  const { ok, seconds, output } = await deployment.destroy();
  if (!ok) throw new Error(output.slice(-3000));
  report("destroy", `${seconds.toFixed(1)} s`);
  await cloud.settled();
  expect(lab.names).toEqual([]);
  expect(refusals(cloud)).toEqual([]);
  expect(policy.unused(cloud, DeployerPolicy.INTERFACES)).toEqual([]);
});
