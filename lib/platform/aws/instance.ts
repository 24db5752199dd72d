import { Eip } from "@cdktf/provider-aws/lib/eip";
import { Instance } from "@cdktf/provider-aws/lib/instance";
import { NetworkInterface } from "@cdktf/provider-aws/lib/network-interface";
import type { PlacementGroup } from "@cdktf/provider-aws/lib/placement-group";
import { Construct } from "constructs";
import { atSynth } from "../at-synth";
import type { Connections } from "../../firewall/connections";
import { refuse } from "../../problem";
import { Machine } from "../machine";
import type { NodeProps } from "../platform";
import { connectionTo } from "../ssh-access";
import type { AwsPlatform, AwsSubnet } from "./aws-platform";
import type { MachineImage } from "./machine-image";
import { createDataVolume, type AttachedVolume } from "./data-volume";
import { InstanceRights, type Right } from "./instance-rights";

/** What is known of a machine because it is an EC2 instance; for virtual IPs, secrets and fencing. */
export interface AwsMachine {
  readonly instanceId: string;
  readonly interfaceId: string;
  readonly interfaceArn: string;
  readonly subnetId: string;
  readonly vpcId: string;
  /** EC2's name of its type; decides how much memory it has. */
  readonly instanceType: string;
  /** Where it has one. */
  readonly dataVolume?: AttachedVolume;
  /** Has its interface a public address of its own? */
  readonly hasPublicAddress: boolean;
  /** ARN of something of the machine's own account and region, or of a bucket: `arn("ec2", "route-table/rtb-1")`. */
  arn(service: string, resource: string): string;
  /** Gives the instance's role a right. */
  grant(right: Right): void;
  /** Packets for addresses that are not the interface's own must reach the instance (a routed virtual IP). */
  acceptForeignAddresses(): void;
  /** keepalived adds and removes a secondary address: Terraform must not take it back. */
  expectSecondaryAddress(): void;
  /** An address that route tables lead to has to lie outside of the VPC. */
  expectOutsideVpc(address: string): void;
}

interface InstanceProps {
  readonly node: NodeProps;
  readonly zone: string;
  readonly subnet: AwsSubnet;
  readonly placementGroup?: PlacementGroup;
}

/** An instance with an interface of its own, which stays when the instance is replaced: its address never changes. */
export function createInstance(
  platform: AwsPlatform,
  cluster: Construct,
  name: string,
  props: InstanceProps,
): Machine {
  const scope = new Construct(cluster, name);
  const { node, zone, subnet, placementGroup } = props;
  const tags = { ...platform.tags, Name: name };
  const groups: Connections[] = [];
  let foreignAddresses = false;
  let secondaryAddresses = 0;
  const networkInterface = new NetworkInterface(scope, "interface", {
    subnetId: subnet.id,
    privateIps: node.privateAddress === undefined ? undefined : [node.privateAddress],
    description: `${name}: managed by cdktf-ha-clusters`,
    tags,
  });
  networkInterface.addOverride(
    "security_groups",
    atSynth(() => groups.map((group) => platform.gate.groupOf(group))),
  );
  networkInterface.addOverride(
    "source_dest_check",
    atSynth(() => !foreignAddresses),
  );
  networkInterface.addOverride(
    "lifecycle.ignore_changes",
    atSynth(() => (secondaryAddresses ? ["private_ips", "private_ips_count"] : undefined)),
  );
  const rights = new InstanceRights(new Construct(scope, "rights"), name, platform.tags);
  const type = node.instanceType ?? platform.props.instanceType ?? "t3.small";
  const image = node.image ?? platform.image;
  platform.facts.instanceType(type, image.architecture);
  const instance = new Instance(scope, "instance", {
    ami: node.image ? ownImage(platform, scope, name, node.image) : platform.ami,
    instanceType: type,
    keyName: platform.keyName,
    placementGroup: placementGroup?.name,
    // The token must not travel further than the instance: a container or a proxy on it gets none.
    metadataOptions: { httpEndpoint: "enabled", httpTokens: "required", httpPutResponseHopLimit: 1 },
    rootBlockDevice: {
      encrypted: true,
      kmsKeyId: platform.props.kmsKeyArn,
      volumeSize: platform.props.rootVolumeGiB ?? 16,
      volumeType: "gp3",
      tags,
    },
    tags,
    // A newer image or another boot script would replace every node at once.
    lifecycle: {
      ignoreChanges: [...(node.image ? [] : ["ami"]), "user_data", "key_name", "placement_group"],
    },
  });
  // Version 6 of the provider names the first interface apart and deprecates the old block.
  instance.addOverride(
    providerMajor() >= 6 ? "primary_network_interface" : "network_interface",
    providerMajor() >= 6
      ? { network_interface_id: networkInterface.id }
      : [{ network_interface_id: networkInterface.id, device_index: 0 }],
  );
  instance.addOverride(
    "iam_instance_profile",
    atSynth(() => rights.profileName),
  );
  // An interface that was made apart gets no public address by itself, whatever its subnet says.
  const publicAddress = platform.props.publicAddresses
    ? new Eip(scope, "public-address", { domain: "vpc", networkInterface: networkInterface.id, tags })
    : undefined;
  const volume =
    node.dataVolume &&
    createDataVolume(scope, node.dataVolume, {
      instance,
      availabilityZone: platform.facts.availabilityZone(zone),
      kmsKeyArn: platform.props.kmsKeyArn,
      tags,
    });
  const aws: AwsMachine = {
    instanceId: instance.id,
    interfaceId: networkInterface.id,
    interfaceArn: networkInterface.arn,
    subnetId: subnet.id,
    vpcId: platform.props.vpcId,
    instanceType: type,
    dataVolume: volume,
    hasPublicAddress: publicAddress !== undefined,
    arn: (service, resource) => platform.arn(service, resource),
    grant: (right) => rights.grant(right),
    acceptForeignAddresses: () => (foreignAddresses = true),
    expectSecondaryAddress: () => {
      if (!secondaryAddresses++) platform.facts.addresses(type, () => 1 + secondaryAddresses);
    },
    expectOutsideVpc: (address) => platform.facts.outsideVpc(address),
  };
  const access = { ...platform.props.ssh, user: platform.props.ssh.user ?? image.user };
  return new Machine(scope, "machine", {
    name,
    platform,
    zone,
    // A fixed one is known without AWS, also in other stacks.
    privateAddress: node.privateAddress ?? networkInterface.privateIp,
    subnet: subnet.cidr,
    connection: connectionTo(access, publicAddress?.publicIp ?? networkInterface.privateIp),
    identity: instance.id,
    readiness: () => [
      ...groups.flatMap((group) => platform.gate.rulesOf(group)),
      ...rights.readiness,
      instance,
      ...(volume ? [volume.attachment] : []),
      ...(publicAddress ? [publicAddress] : []),
    ],
    handsOver: () => platform.handOver(),
    joined: (group) => groups.push(group),
    aws,
  });
}

/** The node's own image: a certain one, or the node would be replaced whenever a newer one is published. */
function ownImage(platform: AwsPlatform, scope: Construct, name: string, image: MachineImage): string {
  if (image.id === undefined) {
    refuse(scope, {
      code: "image-not-fixed",
      what: `'nodes.${name}.image' is looked up anew at each apply`,
      allowed: "a certain image: a change of it replaces the node",
      fix: 'MachineImage.id("ami-...", { user: "admin" })',
    });
  }
  platform.facts.image(scope, image);
  return image.id;
}

let major: number | undefined;

/** Major version of the AWS provider that the installed bindings are made for. */
function providerMajor(): number {
  // eslint-disable-next-line @typescript-eslint/no-require-imports -- a fact about the installed package
  const description = require("@cdktf/provider-aws/package.json") as {
    cdktf: { provider: { version: string } };
  };
  return (major ??= Number(description.cdktf.provider.version.split(".")[0]));
}
