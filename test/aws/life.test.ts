import { MachineImage, Secret, type NodeProps, type Service } from "cdktf-ha-clusters";
import { CLIENT, type Cloud } from "../../machines/aws/cloud";
import type { Lab } from "../../machines/lab";
import { waitUntil } from "../../machines/run";
import { ask } from "../machines/support/ask";
import { report } from "../machines/support/haproxy";
import { Account } from "./support/account";
import { DeployerPolicy, refusals } from "./support/deployer";
import { AwsDeployment } from "./support/deployment";
import { ADMINISTRATION, site, startCloud, type Network } from "./support/site";

/** The life of the pair and its web servers at AWS, from the first apply to the last. */
let lab: Lab;
let cloud: Cloud;
let network: Network;
let account: Account;
let deployment: AwsDeployment;
let before: Record<string, number>;

const policy = new DeployerPolicy(DeployerPolicy.MACHINES);
const OTHER_IMAGE = "ami-0d12000000000aaaa";
const web1: NodeProps = { privateAddress: "10.77.1.21", dataVolume: { sizeGiB: 10 } };
const lb1: NodeProps = { privateAddress: "10.77.1.11" };
const lb2: NodeProps = { privateAddress: "10.77.2.11" };
const grown: NodeProps = { ...web1, dataVolume: { sizeGiB: 20 } };
const web2: NodeProps = { privateAddress: "10.77.2.22" };

/** The site with other nodes, and larger root volumes than at first. */
function siteOf(props: {
  readonly web: Record<string, NodeProps>;
  readonly lb: Record<string, NodeProps>;
  readonly image?: MachineImage;
}): AwsDeployment {
  const { web, lb, image } = props;
  const platform = { rootVolumeGiB: 20, ...(image ? { image } : {}) };
  return deployment.changed(
    (stack) => void site(lab, network, { web, pair: { nodes: lb }, platform })(stack),
  );
}

const ids = async (): Promise<Record<string, string>> =>
  Object.fromEntries(
    Object.entries(await account.instances()).map(([name, { InstanceId }]) => [name, InstanceId]),
  );
async function elastic(): Promise<string> {
  const [address] = await account.all<{ PublicIp: string }>("addresses");
  return address!.PublicIp;
}
const servers = async (): Promise<Set<string>> => {
  const address = await elastic();
  const answers = await Promise.all(Array.from({ length: 8 }, () => ask({ address })));
  return new Set(answers.map(({ body }) => body.trim()));
};

async function dataVolume(): Promise<{ id: string; instance?: string }> {
  interface Volume {
    readonly VolumeId: string;
    readonly Attachments: readonly { readonly InstanceId: string }[];
  }
  const volumes = await account.all<Volume>("volumes", {
    Filters: [{ Name: "tag:Name", Values: ["web-1 data"] }],
  });
  expect(volumes).toHaveLength(1);
  return { id: volumes[0]!.VolumeId, instance: volumes[0]!.Attachments[0]?.InstanceId };
}

/** A server is taken when its checks say so, which may be a moment after the apply; who has gone gets nothing from then on. */
async function answeredBy(...names: string[]): Promise<void> {
  let found: string[] = [];
  await waitUntil(
    async () => {
      // who was asked may be just the one who goes
      found = [...(await servers().catch((error: unknown) => [String(error)]))].sort();
      return found.join() === names.join();
    },
    120,
    () => `answered by ${found.join()}, not by ${names.join()}`,
  );
}

beforeAll(async () => {
  ({ lab, cloud, network } = await startCloud());
  account = new Account(cloud);
  before = await account.counts();
  deployment = await AwsDeployment.create(
    lab,
    cloud,
    (stack) => void site(lab, network, { web: { "web-1": web1 } })(stack),
    { policy: policy.document },
  );
}, 300_000);
afterAll(async () => {
  const byAction: Record<string, number> = {};
  for (const { action, who } of cloud.calls) {
    const key = `${who.includes("/") ? "machines" : who} ${action}`;
    byAction[key] = (byAction[key] ?? 0) + 1;
  }
  report("calls", JSON.stringify(byAction));
  await cloud.stop();
  await lab.stop();
});

test("one apply makes the cloud's resources and pushes to machines that answer", async () => {
  const { seconds, added } = await deployment.deploy();
  report("apply", `${seconds.toFixed(1)} s, ${added} resources, ${cloud.calls.length} calls`);
  await answeredBy("web-1");
  const instances = await account.instances();
  expect(instances["lb-1"]).toMatchObject({
    PrivateIpAddress: "10.77.1.11",
    MetadataOptions: { HttpTokens: "required", HttpPutResponseHopLimit: 1 },
  });
  // the lab's own proof: a machine's name is what EC2 would have called it
  expect((await lab.machine("web-1").ssh("hostname")).stdout).toBe("ip-10-77-1-21\n");
});

test("planned again, there is nothing to do", async () => {
  const { actions, output } = await deployment.plan();
  expect(actions).toEqual({});
  expect(output).toContain("No changes");
});

test("the groups are the declared matrix, and nothing else", async () => {
  expect(await account.inboundRules()).toEqual(
    [
      ...ADMINISTRATION,
      `lb: tcp 80-80 from ${CLIENT}/32`,
      "lb: 112 from lb",
      "lb: tcp 10000-10000 from lb",
      "web: tcp 80-80 from lb",
    ].sort(),
  );
});

test("what would stop or replace all nodes at once is refused while Terraform plans", async () => {
  for (const [code, words, platform] of [
    [
      "all-at-once",
      "is a t3.small, and 'instanceType' of the platform is t3.large",
      { instanceType: "t3.large" },
    ],
    ["placement-kept", "'spread' is false, and lb-1 is in the placement group stack-lb", { spread: false }],
  ] as const) {
    const { ok, output } = await deployment
      .changed((stack) => void site(lab, network, { web: { "web-1": web1 }, platform })(stack))
      .tryPlan();
    expect(ok).toBe(false);
    const text = output.replace(/\n?│/g, " ").replace(/\s+/g, " "); // out of Terraform's frame
    expect(text).toContain(words);
    expect(text).toContain(`[${code}] allowed: `);
  }
});

test("a running machine's first right, and its last", async () => {
  const KmsKeyId = "arn:aws:kms:eu-west-1:123456789012:key/11111111-2222-3333-4444-555555555555";
  const { ARN } = await cloud.call<{ ARN: string }>("secretsmanager", "create_secret", {
    Name: "site/motto",
    SecretString: "festina lente",
    KmsKeyId,
  });
  const had = await ids();
  const motto = Secret.awsSecretsManager(ARN, { kmsKeyArn: KmsKeyId });
  const reader: Service = {
    name: "reader",
    describe: () => ({
      files: [{ path: "/etc/motto", text: `${motto.placeholder}\n`, onChange: "none" }],
      secrets: [motto],
    }),
  };
  const read = deployment.changed(
    (stack) => void site(lab, network, { web: { "web-1": web1 }, webServices: [reader] })(stack),
  );
  expect((await read.plan()).actions).toMatchObject({ "aws_instance.web_web-1_instance": "update" });
  await read.carryOut();
  expect((await lab.machine("web-1").ssh("sudo cat /etc/motto")).stdout).toBe("festina lente\n");
  const [asked] = cloud.callsOf(/^stack-web-web-1\/i-/).filter(({ status }) => status === 200);
  expect(asked).toMatchObject({ resources: [ARN], also: ["kms:Decrypt"] });
  deployment = deployment.changed((stack) => void site(lab, network, { web: { "web-1": web1 } })(stack));
  await deployment.deploy();
  expect((await deployment.plan()).actions).toEqual({});
  expect(await ids()).toEqual(had);
});

test("a node more, a larger type, larger volumes: nothing is replaced, nobody else is touched", async () => {
  const had = await ids();
  deployment = siteOf({
    web: { "web-1": grown, "web-2": web2 },
    lb: { "lb-1": lb1, "lb-2": { ...lb2, instanceType: "t3.medium" } },
  });
  const { actions } = await deployment.plan();
  expect(actions).toEqual({
    "aws_ebs_volume.web_web-1_data": "update",
    "aws_instance.lb_lb-1_instance": "update", // the root volume's size
    "aws_instance.lb_lb-2_instance": "update",
    "aws_instance.web_web-1_instance": "update",
    "aws_instance.web_web-2_instance": "create",
    "aws_network_interface.web_web-2_interface": "create",
  });
  const since = Date.now() / 1000;
  const { seconds } = await deployment.carryOut();
  // volumes grow while their instances run
  const stopped = cloud.calls.filter(({ action, at }) => action === "ec2:StopInstances" && at >= since);
  expect(stopped.flatMap(({ resources }) => resources)).toEqual([
    expect.stringContaining(`instance/${had["lb-2"]}`),
  ]);
  report("a node more, larger ones", `${seconds.toFixed(1)} s`);
  expect(await ids()).toEqual({ ...had, "web-2": expect.stringMatching(/^i-/) });
  expect((await account.instances())["lb-2"]).toMatchObject({ InstanceType: "t3.medium" });
  await answeredBy("web-1", "web-2");
});

test("a lost instance comes back with its address and data; a newer image replaces who asks for it; a node leaves", async () => {
  const had = await account.instances();
  const data = await dataVolume();
  await cloud.call("ec2", "terminate_instances", { InstanceIds: [had["web-1"]!.InstanceId] });
  await cloud.settled();
  expect(lab.names).not.toContain("web-1");
  // the platform's image changes as well, which is nobody's wish to be replaced
  const image = MachineImage.id(OTHER_IMAGE, { user: "admin" });
  const last = {
    web: { "web-1": grown },
    lb: { "lb-1": lb1, "lb-2": { ...lb2, instanceType: "t3.medium", image } },
    image,
  };
  deployment = siteOf(last);
  expect((await deployment.plan()).actions).toEqual({
    "aws_instance.lb_lb-2_instance": "replace",
    "aws_instance.web_web-1_instance": "create",
    "aws_volume_attachment.web_web-1_data-attachment": "create",
    "aws_instance.web_web-2_instance": "delete",
    "aws_network_interface.web_web-2_interface": "delete",
  });
  const { seconds } = await deployment.carryOut();
  report("one lost, one replaced, one removed", `${seconds.toFixed(1)} s`);
  const now = await account.instances();
  expect(Object.keys(now).sort()).toEqual(["lb-1", "lb-2", "web-1"]);
  expect(now["lb-1"]!.InstanceId).toBe(had["lb-1"]!.InstanceId);
  expect(now["lb-2"]).toMatchObject({ ImageId: OTHER_IMAGE, PrivateIpAddress: "10.77.2.11" });
  expect(now["web-1"]!.InstanceId).not.toBe(had["web-1"]!.InstanceId);
  expect(now["web-1"]!.PrivateIpAddress).toBe("10.77.1.21");
  expect(await dataVolume()).toEqual({ id: data.id, instance: now["web-1"]!.InstanceId });
  await answeredBy("web-1");
  expect((await deployment.plan()).actions).toEqual({});

  // destroy refuses to take protected data
  const refused = await deployment.destroy();
  expect(refused.ok).toBe(false);
  expect(refused.output).toContain("Instance cannot be destroyed");
  await answeredBy("web-1");
  deployment = siteOf({
    ...last,
    web: { "web-1": { ...web1, dataVolume: { sizeGiB: 20, protected: false } } },
  });
});

test("the data given up, destroy leaves nothing but its snapshot", async () => {
  const { ok, seconds, output } = await deployment.synth().destroy();
  if (!ok) throw new Error(output.slice(-3000));
  report("destroy", `${seconds.toFixed(1)} s`);
  await cloud.settled();
  expect(await account.counts()).toEqual({ ...before, snapshots: before.snapshots! + 1 });
  expect(lab.names).toEqual([]);
});

test("the deployer's policy allowed all of this, and nothing that this did not need", () => {
  expect(refusals(cloud)).toEqual([]);
  expect(policy.unused(cloud, DeployerPolicy.MACHINES)).toEqual([]);
});
