import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { MachineImage } from "cdktf-ha-clusters";
import type { Cloud } from "../../machines/aws/cloud";
import type { Lab } from "../../machines/lab";
import { waitUntil } from "../../machines/run";
import { report } from "../machines/support/haproxy";
import { Account } from "./support/account";
import { DeployerPolicy, refusals } from "./support/deployer";
import { AwsDeployment } from "./support/deployment";
import {
  ADDRESS,
  CLIENT,
  fileServers,
  NODES,
  SECRET,
  type FileServersProps,
  type Node,
} from "./support/file-servers";
import { rightsOf } from "./support/rights";
import { ADMINISTRATION, startCloud, type Network } from "./support/site";

/**
 * A pair of file servers at AWS. The lab's instances are containers, so DRBD and the NFS server are stand-ins that say so
 * (support/nfs-stand-ins): shown here are volumes, addresses, fencing and rights, with the real corosync, quorum and Pacemaker.
 */
const STAND_INS = join(__dirname, "support", "nfs-stand-ins", "prepare.sh");
const NEXT_SECRET = "the-pairs-next-secret-4567";
const OTHER_IMAGE = "ami-0d12000000000aaaa";
const ROUTES = ["ChangeInterfaces", "RouteTableAddress", "LookAtRoutes"];
let lab: Lab;
let cloud: Cloud;
let network: Network;
let account: Account;
let deployment: AwsDeployment;
let before: Record<string, number>;
let policy: DeployerPolicy;

const now = (): number => Date.now() / 1000;
const pair = (props: FileServersProps) => fileServers(lab, network, props);
const EXPORTS = ["assets", "pictures"];
const other = (name: Node): Node => (name === "nfs-1" ? "nfs-2" : "nfs-1");

/** Who answers at the address that clients mount from. */
const server = async (): Promise<string> =>
  (
    await lab
      .machine("client")
      .ssh(`socat -t 10 -T 10 - TCP:${ADDRESS}:2049,connect-timeout=2 </dev/null`, { allowFailure: true })
  ).stdout.trim();
async function awaitServer(name: Node): Promise<void> {
  await waitUntil(
    async () => (await server()) === name,
    300,
    () => `${name} does not answer`,
    200,
  ).catch(async (error: unknown) => {
    const words = await lab
      .machine(name)
      .ssh("crm_mon --one-shot --inactive; journalctl --no-pager -n 80", { allowFailure: true });
    throw new Error(`${String(error)}\n${words.stdout}\n${cloud.complaints}`);
  });
}
/** Both are members, and each copy is used: whoever serves could be followed. */
const awaitPair = (): Promise<void> =>
  waitUntil(
    async () => {
      const { stdout } = await lab.machine("vote-1").ssh("corosync-qnetd-tool -l", { allowFailure: true });
      const words = await Promise.all(
        (["nfs-1", "nfs-2"] as const).map((name) =>
          lab.machine(name).ssh("crm_mon --one-shot", { allowFailure: true }),
        ),
      );
      return (
        stdout.split("Node ID").length === 3 &&
        words.every(
          ({ stdout: text }) =>
            text.includes("Online: [ nfs-1 nfs-2 ]") && /Unpromoted: \[ nfs-\d \]/.test(text),
        )
      );
    },
    300,
    () => "the pair is not whole",
    500,
  );

/** Calls of the two nodes' roles that change an instance, as words. */
const switching = (since: number): string[] =>
  cloud
    .callsOf(/^stack-files-nfs-\d\/i-/, since)
    .filter(({ action, dryRun }) => /^ec2:(Stop|Start)Instances$/.test(action) && !dryRun)
    .map(({ who, action, with: { "InstanceId.1": id, Force }, status }) =>
      [who.split("/")[0]!.replace("stack-files-", ""), action, id, Force ?? "", status].join(" ").trim(),
    );
const fencing = async (of: Node): Promise<string[]> => {
  const { InstanceId } = (await account.instances())[of]!;
  return [
    `${other(of)} ec2:StopInstances ${InstanceId} true 200`,
    `${other(of)} ec2:StartInstances ${InstanceId}  200`,
  ];
};

beforeAll(async () => {
  const isNode = (name: string): boolean => name in NODES;
  ({ lab, cloud, network } = await startCloud({
    machines: (name) => ({
      ...(isNode(name) ? { flavour: "vms" as const } : {}),
      ...(name.startsWith("nfs-") ? { prepare: join(lab.directory, "server-image") } : {}),
    }),
  }));
  await writeFile(
    join(lab.directory, "server-image"),
    `#!/bin/bash\nset -eu\n"$(dirname "$0")/aws/prepare" "$1"\n'${STAND_INS}' "$1"\n`,
    { mode: 0o755 },
  );
  await cloud.call("secretsmanager", "create_secret", { Name: "files/pair", SecretString: SECRET });
  await Promise.all([
    lab.add("client", { address: `${CLIENT}/24` }),
    lab.add("stranger", { address: "10.77.1.41/24" }),
  ]);
  account = new Account(cloud);
  before = await account.counts();
  policy = new DeployerPolicy([...DeployerPolicy.MACHINES, ...ROUTES], network);
  deployment = await AwsDeployment.create(lab, cloud, pair({ exports: ["assets"] }), {
    policy: policy.document,
  });
}, 300_000);
afterAll(async () => {
  await cloud.stop();
  await lab.stop();
});

test("one apply makes the machines, their volumes and the pair; planned again, there is nothing to do", async () => {
  const { seconds, added } = await deployment.deploy();
  report("AWS: deploy of a pair of file servers", `${seconds.toFixed(0)} s, ${added} resources`);
  await awaitServer("nfs-1");
  await awaitPair();
  const volume = await lab.machine("nfs-1").ssh("findmnt -no FSTYPE,SOURCE /srv/nfs; uname --nodename");
  expect(volume.stdout).toMatch(/^xfs +\/dev\/.*\nnfs-1\n$/);
  expect((await deployment.plan()).actions).toEqual({});
}, 1_200_000);

test("the groups are the declared matrix, and who is in none of it gets no answer", async () => {
  expect(await account.inboundRules()).toEqual(
    [
      ...ADMINISTRATION,
      "files: tcp 7788-7788 from files",
      "files: udp 5405-5405 from files",
      "files-vote: tcp 5403-5403 from files",
      `files: tcp 2049-2049 from ${CLIENT}/32`,
    ].sort(),
  );
  const stranger = await lab
    .machine("stranger")
    .ssh(`socat -t 10 -T 10 - TCP:${ADDRESS}:2049,connect-timeout=2 </dev/null`, { allowFailure: true });
  expect(stranger).toMatchObject({ stdout: "", code: 1 });
});

test("an export more: no machine of AWS's changes, and the server goes on", async () => {
  const since = (): Promise<string> =>
    lab
      .machine("nfs-1")
      .ssh("systemctl show --property=ActiveEnterTimestampMonotonic nfs-server")
      .then(({ stdout }) => stdout);
  const started = await since();
  deployment = deployment.changed(pair({ exports: EXPORTS }));
  expect((await deployment.plan()).actions).toEqual({});
  await deployment.carryOut();
  for (const name of ["nfs-1", "nfs-2"])
    expect((await lab.machine(name).ssh("cat /etc/exports.d/cdktf-ha.exports")).stdout).toMatch(
      /exports\/assets .*\n.*exports\/pictures /,
    );
  expect((await lab.machine("nfs-1").ssh("ls /srv/nfs/exports")).stdout).toBe("assets\npictures\n");
  expect(await since()).toBe(started);
}, 1_200_000);

test("another secret: both go over to it at once, nobody is missed, and the server goes on", async () => {
  const of = async (command: string): Promise<string[]> =>
    Promise.all((["nfs-1", "nfs-2"] as const).map((name) => lab.machine(name).ssh(command))).then((all) =>
      all.map(({ stdout }) => stdout),
    );
  // who has left, and whose quorum was lost: a change of both is in the ring's number
  const ring = "corosync-quorumtool -s | grep '^Ring ID'; true";
  const [rings, keys, since] = [await of(ring), await of("sha256sum /etc/corosync/authkey"), now()];
  await cloud.call("secretsmanager", "put_secret_value", {
    SecretId: "files/pair",
    SecretString: NEXT_SECRET,
  });
  deployment = deployment.changed(pair({ exports: EXPORTS, secretVersion: "2" }));
  expect((await deployment.plan()).actions).toEqual({});
  const { seconds } = await deployment.carryOut();
  report("AWS: another secret of a pair of file servers", `${seconds.toFixed(0)} s`);
  const [one, two] = await of("sha256sum /etc/corosync/authkey");
  expect(two).toBe(one);
  expect(keys).not.toContain(one);
  // the second one looks once more, a minute later
  await waitUntil(
    async () => (await of("ls /etc/corosync/ | grep authkey")).every((files) => files === "authkey\n"),
    300,
    () => "not through",
    2000,
  );
  expect(await of(ring)).toEqual(rings);
  expect(switching(since)).toEqual([]);
  expect(await server()).toBe("nfs-1");
  await awaitPair();
  expect((await deployment.plan()).actions).toEqual({});
}, 1_200_000);

test("the serving node loses power: it is stopped by the other one's role, known to be off, and the address moves", async () => {
  const cut = now();
  await lab.machine("nfs-1").cutPower();
  await awaitServer("nfs-2");
  report("power cut of the serving node", `the other one answers ${(now() - cut).toFixed(1)} s later`);
  const calls = cloud.callsOf(/^stack-files-nfs-2\/i-/, cut).filter(({ dryRun }) => !dryRun);
  const at = (action: string): number => calls.find((call) => call.action === `ec2:${action}`)!.at;
  // nobody takes over before AWS has said that the other one is off
  const seenOff = calls.find(
    (call) => call.action === "ec2:DescribeInstances" && call.at > at("StopInstances"),
  )!;
  expect(at("ReplaceRoute")).toBeGreaterThan(seenOff.at);
  expect(await account.holders({ route: ADDRESS })).toEqual(["nfs-2"]);
  await awaitPair();
  expect(await server()).toBe("nfs-2");
  expect(switching(cut)).toEqual(await fencing("nfs-1"));
  expect((await deployment.plan()).actions).toEqual({});
}, 1_200_000);

test("cut off from each other, both alive: one of them is stopped, and one only", async () => {
  const cut = now();
  await lab.partition(["nfs-1"], ["nfs-2"]);
  await waitUntil(
    () => switching(cut).length > 1,
    300,
    () => "nobody is stopped",
  );
  await lab.heal();
  await awaitPair();
  const stopped = switching(cut)[0]!.startsWith("nfs-1") ? "nfs-2" : "nfs-1";
  expect(switching(cut)).toEqual(await fencing(stopped));
  await awaitServer(other(stopped));
  report("the nodes are cut off from each other", `${stopped} is stopped, ${other(stopped)} serves`);
}, 1_200_000);

test("somebody leads the address elsewhere: it comes back by itself", async () => {
  const serving = (await server()) as Node;
  const interfaces = await account.all<{ NetworkInterfaceId: string; PrivateIpAddress: string }>(
    "network_interfaces",
  );
  const wrong = interfaces.find(({ PrivateIpAddress }) => PrivateIpAddress === NODES[other(serving)])!;
  await cloud.call("ec2", "replace_route", {
    RouteTableId: network.routeTableId,
    DestinationCidrBlock: `${ADDRESS}/32`,
    NetworkInterfaceId: wrong.NetworkInterfaceId,
  });
  await awaitServer(serving);
  expect(await account.holders({ route: ADDRESS })).toEqual([serving]);
});

test("the standby's instance is replaced by one of another image: its volume and its vote stay", async () => {
  const serving = (await server()) as Node;
  const replaced = other(serving);
  const had = (await account.instances())[replaced]!.InstanceId;
  const image = MachineImage.id(OTHER_IMAGE, { user: "admin" });
  deployment = deployment.changed(
    pair({ exports: EXPORTS, secretVersion: "2", nodes: { [replaced]: { image } } }),
  );
  const { actions } = await deployment.plan();
  // AWS lets an instance shut down before it is gone; the emulator would cut its power
  await lab.machine(replaced).shutdown();
  expect(actions[`aws_instance.files_${replaced}_instance`]).toBe("replace");
  expect(Object.keys(actions).filter((each) => each.startsWith("aws_ebs_volume"))).toEqual([]);
  const { seconds } = await deployment.carryOut();
  report("AWS: a node's instance replaced", `${seconds.toFixed(0)} s`);
  expect((await account.instances())[replaced]!.InstanceId).not.toBe(had);
  await awaitPair();
  expect(await server()).toBe(serving);
  expect((await deployment.plan()).actions).toEqual({});
}, 1_200_000);

test("a role's rights are what its machine called for, on the other node's instance alone", async () => {
  for (const name of ["nfs-1", "nfs-2"] as const) {
    const { stray, unused } = await rightsOf(cloud, `stack-files-${name}`);
    expect([name, unused]).toEqual([name, []]);
    // of instances that were there before, the role could stop those as long as they were there
    expect(stray.filter((call) => !call.includes("instance/i-"))).toEqual([]);
  }
  const { InstanceId } = (await account.instances())["vote-1"]!;
  const refused = await lab
    .machine("nfs-1")
    .ssh(`AWS_DEFAULT_REGION=eu-west-1 aws ec2 stop-instances --instance-ids ${InstanceId}`, {
      allowFailure: true,
    });
  expect(refused.stderr).toContain("UnauthorizedOperation");
});

test("destroyed: nothing is left, and the deployer's policy allowed all of this", async () => {
  const { ok, seconds, output } = await deployment.destroy();
  if (!ok) throw new Error(output.slice(-3000));
  report("AWS: destroy of a pair of file servers", `${seconds.toFixed(0)} s`);
  await cloud.settled();
  expect(await account.counts()).toEqual(before);
  expect([...lab.names].sort()).toEqual(["client", "stranger"]);
  expect(refusals(cloud)).toEqual([]);
  expect(policy.unused(cloud, ROUTES)).toEqual([]);
}, 1_200_000);
