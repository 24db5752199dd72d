import { Port, ServiceTier, type Nodes } from "cdktf-ha-clusters";
import type { TerraformStack } from "cdktf";
import type { Cloud } from "../../machines/aws/cloud";
import type { Lab } from "../../machines/lab";
import { waitUntil } from "../../machines/run";
import { ask } from "../machines/support/ask";
import { report } from "../machines/support/haproxy";
import { siteService } from "../machines/support/site";
import { Account } from "./support/account";
import { BUCKET, DeployerPolicy, refusals } from "./support/deployer";
import { AwsDeployment, STATE_KEY } from "./support/deployment";
import { OPERATORS, platformOf, startCloud, type Network } from "./support/site";

/** State in a bucket, with a lock; and what CI jobs that are cancelled in the middle of an apply leave behind. */
let lab: Lab;
let cloud: Cloud;
let network: Network;
let account: Account;
let deployment: AwsDeployment;
const STATE = ["StateInBucket", "LockInBucket", "ListBucket"];
const policy = new DeployerPolicy([...DeployerPolicy.MACHINES, ...STATE]);
const web1 = { "web-1": { zone: "a", privateAddress: "10.77.1.21" } };
const web2 = { "web-2": { zone: "b", privateAddress: "10.77.2.22" } };
const web3 = { "web-3": { zone: "c", privateAddress: "10.77.3.23" } };

const web =
  (nodes: Nodes): ((stack: TerraformStack) => void) =>
  (stack) => {
    const platform = platformOf(stack, lab, network);
    const tier = new ServiceTier(stack, "web", { platform, nodes, port: 80, services: [siteService()] });
    for (const operator of OPERATORS) tier.connections.allowFrom(operator, Port.tcp(80));
  };
const objects = async (): Promise<string[]> => {
  const { Contents = [] } = await cloud.call<{ Contents?: { Key: string }[] }>("s3", "list_objects_v2", {
    Bucket: BUCKET,
  });
  return Contents.map(({ Key }) => Key).sort();
};
/** The deployer has ordered the instance of this name. */
const ordered = (name: string): Promise<void> =>
  waitUntil(
    async () => (await account.instances())[name] !== undefined,
    200,
    () => `no instance ${name}`,
    100,
  );
const LOCKED = /Error acquiring the state lock[^]*?ID:\s+([0-9a-f-]{36})/;

beforeAll(async () => {
  ({ lab, cloud, network } = await startCloud());
  account = new Account(cloud);
  await cloud.call("s3", "create_bucket", {
    Bucket: BUCKET,
    CreateBucketConfiguration: { LocationConstraint: "eu-west-1" },
  });
  deployment = await AwsDeployment.create(lab, cloud, web(web1), {
    bucket: BUCKET,
    policy: policy.document,
  });
}, 300_000);
afterAll(async () => {
  await cloud.stop();
  await lab.stop();
});

test("the state is in the bucket, and the lock is gone after an apply", async () => {
  await deployment.deploy();
  expect(await objects()).toEqual([STATE_KEY]);
  expect((await deployment.plan()).actions).toEqual({});
});

test("a job whose runner is lost: its lock stays, what it made is found by name and taken in, nothing is there twice", async () => {
  deployment = deployment.changed(web({ ...web1, ...web2 })).synth();
  const job = deployment.begin();
  await ordered("web-2");
  job.kill();
  await job.ended;
  await cloud.settled();
  expect(await objects()).toEqual([STATE_KEY, `${STATE_KEY}.tflock`]);
  const left = (await account.instances())["web-2"]!;

  const next = await deployment.tryPlan();
  expect(next.ok).toBe(false);
  const [, lock] = LOCKED.exec(next.output.replaceAll("│", ""))!;
  expect((await deployment.terraform("force-unlock", "-force", lock!)).ok).toBe(true);

  // Terraform does not know of what was made after it last wrote its state
  const { actions } = await deployment.plan();
  report("unknown to the state after a kill", JSON.stringify(actions));
  const unknown = Object.keys(actions).filter((address) => actions[address] === "create");
  const interfaces = await account.all<{ NetworkInterfaceId: string; TagSet: object[] }>(
    "network_interfaces",
    {
      Filters: [{ Name: "tag:Name", Values: ["web-2"] }],
    },
  );
  expect(interfaces).toHaveLength(1);
  const ids: Record<string, string> = {
    aws_instance: left.InstanceId,
    aws_network_interface: interfaces[0]!.NetworkInterfaceId,
  };
  for (const [type, names] of Object.entries(deployment.template!.json.resource!)) {
    for (const name of Object.keys(names)) {
      const address = `${type}.${name}`;
      if (!unknown.some((each) => address.startsWith(`${each}_`))) continue;
      const { ok, output } = await deployment.terraform("import", "-input=false", address, ids[type]!);
      if (!ok) throw new Error(output);
    }
  }
  const plan = await deployment.plan();
  report("after the import", JSON.stringify(plan.actions));
  await deployment.carryOut();
  expect((await deployment.plan()).actions).toEqual({});
  const now = await account.instances();
  expect(Object.keys(now).sort()).toEqual(["web-1", "web-2"]);
  expect((await ask({ address: "10.77.2.22" })).body.trim()).toBe("web-2");
});

test("a job that is cancelled: it writes down what it made and unlocks, meanwhile nobody else gets in, the next one goes on", async () => {
  deployment = deployment.changed(web({ ...web1, ...web2, ...web3 })).synth();
  const job = deployment.begin();
  await waitUntil(
    async () => (await objects()).includes(`${STATE_KEY}.tflock`),
    200,
    () => "the job has not locked its state",
    100,
  );
  const other = await deployment.terraform("plan", "-input=false");
  expect(other.output).toMatch(/Error acquiring the state lock/);
  // it waits for an instance for seconds, and not for as long as another plan takes
  await ordered("web-3");
  job.interrupt();
  const words = await job.ended;
  expect(words).toMatch(/Interrupt received/);
  expect(words).not.toMatch(/Apply complete/);
  await cloud.settled();
  expect(await objects()).toEqual([STATE_KEY]);
  // an instance that Terraform no longer waited for may be half made: the next apply makes another one in its place
  expect((await deployment.plan()).actions).toMatchObject({ "aws_instance.web_web-3_instance": "replace" });
  const { seconds } = await deployment.carryOut();
  report("after a cancelled job", `${seconds.toFixed(1)} s`);
  expect(Object.keys(await account.instances()).sort()).toEqual(["web-1", "web-2", "web-3"]);
  expect((await ask({ address: "10.77.3.23" })).body.trim()).toBe("web-3");
  expect((await deployment.plan()).actions).toEqual({});
});

test("the deployer's policy allowed all of this, and of the state nothing more", () => {
  expect(refusals(cloud)).toEqual([]);
  expect(policy.unused(cloud, STATE)).toEqual([]);
});
