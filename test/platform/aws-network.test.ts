import { AwsProvider } from "@cdktf/provider-aws/lib/provider";
import { AwsNetwork, AwsPlatform, MachineImage, Peer, ServiceTier, type AwsNetworkProps } from "../../lib";
import { Template } from "../../lib/testing";
import { newStack } from "../support/stack";

const synth = (props: Partial<AwsNetworkProps> = {}): Template => {
  const stack = newStack();
  new AwsProvider(stack, "provider", { region: "eu-west-1" });
  new AwsNetwork(stack, "network", { cidr: "10.1.0.0/16", ...props });
  return Template.synth(stack).hasNoErrors();
};
const subnets = (template: Template): Record<string, unknown> =>
  Object.fromEntries(
    Object.values(template.resources("aws_subnet")).map(({ tags, cidr_block }) => [
      (tags as { Name: string }).Name,
      cidr_block,
    ]),
  );

test("a private and a public subnet in each zone, by the zone's letter alone", () => {
  const all = subnets(synth());
  expect(all).toEqual({
    "network-private-a": "10.1.0.0/20",
    "network-private-b": "10.1.16.0/20",
    "network-private-c": "10.1.32.0/20",
    "network-public-a": "10.1.128.0/20",
    "network-public-b": "10.1.144.0/20",
    "network-public-c": "10.1.160.0/20",
  });
  const fewer = subnets(synth({ zones: ["c", "a"] }));
  expect(all).toMatchObject(fewer);
  expect(subnets(synth({ cidr: "192.168.7.0/24", zones: ["a", "h"] }))).toMatchObject({
    "network-private-a": "192.168.7.0/28",
    "network-public-h": "192.168.7.240/28",
  });
});

test("ways out: a NAT gateway in each zone, or endpoints alone", () => {
  synth().resourceCountIs("aws_nat_gateway", 3).resourceCountIs("aws_vpc_endpoint", 2);
  const sealed = synth({ nat: false, endpoints: ["ec2", "secretsmanager"] });
  sealed.resourceCountIs("aws_nat_gateway", 0).resourceCountIs("aws_vpc_endpoint", 3);
  const out = Object.values(sealed.resources("aws_route"));
  expect(out).toHaveLength(1); // of the public subnets, for elastic addresses
  synth({ endpoints: [] }).resourceCountIs("aws_security_group", 0);
});

test("a platform in it looks up nothing that the stack itself makes", () => {
  const stack = newStack();
  new AwsProvider(stack, "provider", { region: "eu-west-1" });
  const network = new AwsNetwork(stack, "network", { cidr: "10.1.0.0/16" });
  const platform = new AwsPlatform(stack, "aws", {
    vpcId: network.vpcId,
    subnets: network.privateSubnets,
    image: MachineImage.id("ami-0123456789abcdef0", { user: "admin" }),
    ssh: { keyName: "ops", agent: true },
    admins: [Peer.cidr("10.1.128.10")],
  });
  new ServiceTier(stack, "web", {
    platform,
    nodes: { "web-1": { dataVolume: { sizeGiB: 10 } }, "web-2": {} },
    port: 80,
    services: [{ name: "plain", describe: () => ({ files: [{ path: "/etc/plain", text: "" }] }) }],
  });
  const template = Template.synth(stack).hasNoErrors();
  expect(Object.keys(template.json.data ?? {})).not.toContain("aws_subnet");
  expect(Object.values(template.resources("aws_ebs_volume"))[0]).toMatchObject({
    availability_zone: expect.stringMatching(/^\$\{data\.aws_region\.\S+\.id\}a$/),
    encrypted: true,
    lifecycle: { prevent_destroy: true },
  });
});
