import {
  AwsNetwork,
  HaproxyKeepalivedPair,
  HealthCheck,
  MachineImage,
  Servers,
  ServiceTier,
  VirtualIp,
  type AwsPlatformProps,
  type Nodes,
} from "cdktf-ha-clusters";
import type { TerraformStack } from "cdktf";
import type { Cloud } from "../../machines/aws/cloud";
import type { Lab } from "../../machines/lab";
import { report } from "../machines/support/haproxy";
import { siteService } from "../machines/support/site";
import { Account } from "./support/account";
import { AwsDeployment } from "./support/deployment";
import { platformOf, startCloud, type Network } from "./support/site";

/** A VPC made for the purpose; and what only AWS can tell of one that was there before. No machines. */
let lab: Lab;
let cloud: Cloud;
let network: Network;
let account: Account;
let deployment: AwsDeployment;
let foreign: { readonly SubnetId: string };
let sameZone: { readonly SubnetId: string };

beforeAll(async () => {
  ({ lab, cloud, network } = await startCloud());
  account = new Account(cloud);
  const subnets = await account.all<{ SubnetId: string; VpcId: string }>("subnets");
  foreign = subnets.find(({ VpcId }) => VpcId !== network.vpcId)!; // of the account's default VPC
  ({ Subnet: sameZone } = await cloud.call<{ Subnet: { SubnetId: string } }>("ec2", "create_subnet", {
    VpcId: network.vpcId,
    CidrBlock: "10.77.4.0/24",
    AvailabilityZone: "eu-west-1a",
  }));
  deployment = await AwsDeployment.create(
    lab,
    cloud,
    (stack) => new AwsNetwork(stack, "network", { cidr: "10.20.0.0/16", zones: ["a", "b"] }),
  );
}, 300_000);
afterAll(async () => {
  await cloud.stop();
  await lab.stop();
});

const pair = (stack: TerraformStack, nodes: Nodes, addresses: readonly VirtualIp[]): void => {
  const lb = new HaproxyKeepalivedPair(stack, "lb", {
    platform: platformOf(stack, lab, network),
    nodes,
    virtualIps: { main: { addresses } },
  });
  lb.balance("web", { port: 80, to: Servers.at({ a: "10.77.1.200:80" }), check: HealthCheck.tcp() });
};
const web = (stack: TerraformStack, props: Partial<AwsPlatformProps>): void => {
  const platform = platformOf(stack, lab, network, props);
  new ServiceTier(stack, "web", { platform, nodes: ["web-1"], port: 80, services: [siteService()] });
};

test.each<[code: string, what: RegExp, build: (stack: TerraformStack) => unknown]>([
  [
    "subnet-outside-vpc",
    /'subnets\.b' is subnet-\w+, a subnet of the VPC vpc-/,
    (stack) =>
      platformOf(stack, lab, network, { subnets: { a: network.subnets.a, b: { id: foreign.SubnetId } } }),
  ],
  [
    "one-zone",
    /all 2 subnets are in the availability zone eu-west-1a/,
    (stack) =>
      platformOf(stack, lab, network, { subnets: { a: network.subnets.a, b: { id: sameZone.SubnetId } } }),
  ],
  [
    "bad-cidr",
    /'subnets\.a\.cidr' is 10\.77\.9\.0\/24/,
    (stack) => {
      const wrong = { ...network.subnets.a, cidr: "10.77.9.0/24" };
      platformOf(stack, lab, network, { subnets: { a: wrong, b: network.subnets.b } });
    },
  ],
  [
    "wrong-architecture",
    /the image ami-0d12000000000cccc is for arm64/,
    (stack) => web(stack, { image: MachineImage.id("ami-0d12000000000cccc", { user: "admin" }) }),
  ],
  [
    "wrong-architecture",
    /instances of type t4g\.small cannot run an image for x86_64/,
    (stack) => web(stack, { instanceType: "t4g.small" }),
  ],
  [
    "over-limit",
    /type t3\.nano may have to hold 3 private addresses/,
    (stack) => {
      const nodes = { "lb-1": { zone: "a", instanceType: "t3.nano" }, "lb-2": { zone: "a" } };
      pair(
        stack,
        nodes,
        ["10.77.1.100", "10.77.1.101"].map((each) => VirtualIp.secondaryPrivateIp(each)),
      );
    },
  ],
  [
    "virtual-ip-inside-vpc",
    /10\.77\.9\.1 is inside a network of the VPC: 10\.77\.0\.0\/16/,
    (stack) => {
      const routed = VirtualIp.routeTable("10.77.9.1", { routeTableIds: [network.routeTableId] });
      pair(stack, { "lb-1": { zone: "a" }, "lb-2": { zone: "b" } }, [routed]);
    },
  ],
  [
    "unknown-zone",
    /the region has no availability zone 'h'/,
    (stack) => new AwsNetwork(stack, "network", { cidr: "10.20.0.0/16", zones: ["a", "h"] }),
  ],
])("%s is told while Terraform plans: %s", async (code, what, build) => {
  const { ok, output } = await deployment.changed(build).tryPlan();
  expect(ok).toBe(false);
  const words = output.replace(/\n?│/g, " ").replace(/\s+/g, " "); // out of Terraform's frame
  expect(words).toMatch(new RegExp(`${what.source}.*\\[${code}\\] allowed: .+ fix: `));
});

test("an image that is not there: Terraform's own words, beside its id", async () => {
  const image = MachineImage.id("ami-0fffffffffffffff0", { user: "admin" });
  const { ok, output } = await deployment.changed((stack) => web(stack, { image })).tryPlan();
  expect(ok).toBe(false);
  expect(output).toMatch(/returned no results[^]*image-ami-0fffffffffffffff0/);
});

test("a VPC in two zones: applied, planned again, and gone without a trace", async () => {
  const before = await account.counts();
  const { seconds, added } = await deployment.synth().deploy();
  report("VPC", `${seconds.toFixed(1)} s, ${added} resources`);
  expect((await deployment.plan()).actions).toEqual({});
  interface Endpoint {
    readonly ServiceName: string;
    readonly State: string;
  }
  const endpoints = await account.all<Endpoint>("vpc_endpoints");
  expect(endpoints.map(({ ServiceName }) => ServiceName).sort()).toEqual([
    "com.amazonaws.eu-west-1.ec2",
    "com.amazonaws.eu-west-1.s3",
  ]);
  const { ok, output } = await deployment.destroy();
  if (!ok) throw new Error(output.slice(-3000));
  expect(await account.counts()).toEqual(before);
});
