import { readFileSync } from "node:fs";
import {
  AwsPlatform,
  HaproxyKeepalivedPair,
  HealthCheck,
  MachineImage,
  Peer,
  ServiceTier,
  VirtualIp,
  type AwsPlatformProps,
  type HaproxyKeepalivedPairProps,
  type Nodes,
  type Service,
} from "cdktf-ha-clusters";
import type { TerraformStack } from "cdktf";
import { CLIENT, Cloud, REGION, type CloudOptions } from "../../../machines/aws/cloud";
import { Lab } from "../../../machines/lab";
import { siteService } from "../../machines/support/site";

/** A VPC that was there before, with a subnet in each of three zones; the first addresses are the operator's. */
export interface Network {
  readonly vpcId: string;
  readonly subnets: Readonly<Record<"a" | "b" | "c", { readonly id: string; readonly cidr: string }>>;
  readonly routeTableId: string;
}

export const OPERATORS = ["10.77.1.1", "10.77.2.1", "10.77.3.1"].map((address) => Peer.cidr(address));
/** What a platform opens to them, as `Account.inboundRules` tells it. */
export const ADMINISTRATION = ["10.77.1.1/32", "10.77.2.1/32", "10.77.3.1/32"].map(
  (from) => `aws-administration: tcp 22-22 from ${from}`,
);

/** No role of the tests' stacks has more rights than this. */
export const BOUNDARY = "arn:aws:iam::123456789012:policy/machines";

export async function startCloud(
  options?: CloudOptions,
): Promise<{ lab: Lab; cloud: Cloud; network: Network }> {
  const lab = await Lab.start({}, { flavour: "tests" });
  try {
    const cloud = await Cloud.start(lab, options);
    return { lab, cloud, network: await makeNetwork(cloud) };
  } catch (error) {
    await lab.stop().catch(() => undefined); // the first failure is the one to tell
    throw error;
  }
}

async function makeNetwork(cloud: Cloud): Promise<Network> {
  const vpc = await cloud.call<{ Vpc: { VpcId: string } }>("ec2", "create_vpc", {
    CidrBlock: "10.77.0.0/16",
  });
  const VpcId = vpc.Vpc.VpcId;
  const table = await cloud.call<{ RouteTable: { RouteTableId: string } }>("ec2", "create_route_table", {
    VpcId,
  });
  const RouteTableId = table.RouteTable.RouteTableId;
  const subnet = async (zone: string, CidrBlock: string): Promise<{ id: string; cidr: string }> => {
    const made = await cloud.call<{ Subnet: { SubnetId: string } }>("ec2", "create_subnet", {
      VpcId,
      CidrBlock,
      AvailabilityZone: REGION + zone,
    });
    const { SubnetId } = made.Subnet;
    await cloud.call("ec2", "associate_route_table", { RouteTableId, SubnetId });
    return { id: SubnetId, cidr: CidrBlock };
  };
  return {
    vpcId: VpcId,
    routeTableId: RouteTableId,
    subnets: {
      a: await subnet("a", "10.77.1.0/24"),
      b: await subnet("b", "10.77.2.0/24"),
      c: await subnet("c", "10.77.3.0/24"),
    },
  };
}

export function platformOf(
  stack: TerraformStack,
  lab: Lab,
  { vpcId, subnets }: Network,
  props: Partial<AwsPlatformProps> = {},
): AwsPlatform {
  return new AwsPlatform(stack, "aws", {
    vpcId,
    subnets,
    image: MachineImage.debian12(),
    ssh: {
      publicKey: readFileSync(`${lab.privateKeyFile}.pub`, "utf8").trim(),
      privateKeyFile: lab.privateKeyFile,
      timeoutSeconds: 90,
    },
    admins: OPERATORS,
    permissionsBoundary: BOUNDARY,
    ...props,
  });
}

export interface SiteProps {
  readonly platform?: Partial<AwsPlatformProps>;
  readonly pair?: Partial<HaproxyKeepalivedPairProps>;
  readonly web?: Nodes;
  /** Beside the web server itself. */
  readonly webServices?: readonly Service[];
}

/** Two load balancers in two zones with an elastic address, web servers. */
export function site(
  lab: Lab,
  network: Network,
  props: SiteProps = {},
): (stack: TerraformStack) => HaproxyKeepalivedPair {
  return (stack) => {
    const platform = platformOf(stack, lab, network, props.platform);
    const web = new ServiceTier(stack, "web", {
      platform,
      nodes: props.web ?? { "web-1": { privateAddress: "10.77.1.21" } },
      port: 80,
      services: [siteService(), ...(props.webServices ?? [])],
    });
    const lb = new HaproxyKeepalivedPair(stack, "lb", {
      platform,
      nodes: { "lb-1": { privateAddress: "10.77.1.11" }, "lb-2": { privateAddress: "10.77.2.11" } },
      virtualIp: VirtualIp.elastic(),
      maximumConnections: 4000,
      ...props.pair,
    });
    lb.balance("web", {
      port: 80,
      to: web,
      check: HealthCheck.http("/"),
      checkInterval: 0.5,
      clients: [Peer.cidr(CLIENT)],
    });
    return lb;
  };
}
