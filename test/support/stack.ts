import { AwsProvider } from "@cdktf/provider-aws/lib/provider";
import { Testing, TerraformStack } from "cdktf";
import type { Construct } from "constructs";
import {
  AwsPlatform,
  Carrier,
  MachineImage,
  Peer,
  SshPlatform,
  type AwsPlatformProps,
  type SshPlatformProps,
} from "../../lib";

/** A stack of its own for a test. */
export function newStack(name = "stack"): TerraformStack {
  return new TerraformStack(Testing.app(), name);
}

/** Hosts of one network in two racks. */
export function newRack(stack: Construct, props: Partial<SshPlatformProps> = {}): SshPlatform {
  return new SshPlatform(stack, "rack", {
    hosts: {
      "lb-1": { address: "10.0.1.66/27", zone: "rack-1" },
      "lb-2": { address: "10.0.1.67/27", zone: "rack-2" },
      "web-1": { address: "10.0.1.70/27", zone: "rack-1" },
      "web-2": { address: "10.0.1.71/27", zone: "rack-2" },
    },
    ssh: { privateKeyFile: "~/.ssh/id_ed25519" },
    admins: [Peer.cidr("10.0.0.0/24")],
    carrier: Carrier.TERRAFORM_DATA,
    ...props,
  });
}

/** Three zones of a VPC. */
export function newAws(stack: TerraformStack, props: Partial<AwsPlatformProps> = {}): AwsPlatform {
  new AwsProvider(stack, "provider", { region: "eu-west-1" });
  return new AwsPlatform(stack, "aws", {
    vpcId: "vpc-0abc",
    subnets: {
      a: { id: "subnet-a", cidr: "10.1.0.0/24" },
      b: { id: "subnet-b", cidr: "10.1.1.0/24" },
      c: { id: "subnet-c", cidr: "10.1.2.0/24" },
    },
    image: MachineImage.id("ami-0123456789abcdef0", { user: "admin" }),
    ssh: { keyName: "ops", agent: true },
    admins: [Peer.cidr("10.0.0.0/24")],
    carrier: Carrier.TERRAFORM_DATA,
    ...props,
  });
}
