import { Eip } from "@cdktf/provider-aws/lib/eip";
import { Instance } from "@cdktf/provider-aws/lib/instance";
import { NetworkInterface } from "@cdktf/provider-aws/lib/network-interface";
import type { PlacementGroup } from "@cdktf/provider-aws/lib/placement-group";
import type { ITerraformDependable, TerraformProvider } from "cdktf";
import { Construct } from "constructs";
import { atSynth } from "../at-synth";
import type { Connections } from "../../firewall/connections";
import { isToken, refuse } from "../../problem";
import { after } from "../../push/push";
import { Machine } from "../machine";
import type { NodeProps } from "../platform";
import { connectionTo } from "../ssh-access";
import type { AwsPlatform, AwsSubnet } from "./aws-platform";
import type { MachineImage } from "./machine-image";
import { createDataVolume, type AttachedVolume } from "./data-volume";
import { expect, type Expectation } from "./facts";
import { nameAtAws } from "./identity";
import { InstanceRights, type Right } from "./instance-rights";
import { madeBy } from "./provider";

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
  /** Of the platform; what else is made for the machine is made by it. Nothing: the stack's own. */
  readonly provider?: TerraformProvider;
  /** Has its interface a public address of its own? */
  readonly hasPublicAddress: boolean;
  /** ARN of something of the machine's own account and region, or of a bucket: `arn("ec2", "route-table/rtb-1")`. */
  arn(service: string, resource: string, region?: string): string;
  /** The platform's region, as Terraform knows it. */
  readonly region: string;
  /** Gives the instance's role a right. */
  grant(right: Right): void;
  /** Packets for addresses that are not the interface's own must reach the instance (a routed virtual IP). */
  acceptForeignAddresses(): void;
  /** keepalived adds and removes a secondary address: Terraform must not take it back. */
  expectSecondaryAddress(reservation?: ITerraformDependable): void;
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
  madeBy(scope, platform.props.provider);
  const { node, zone, subnet, placementGroup } = props;
  const tags = { ...platform.tags, Name: name };
  const groups: Connections[] = [];
  let foreignAddresses = false;
  const reservations: ITerraformDependable[] = [];
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
  after(scope, networkInterface, () => reservations);
  const rights = new InstanceRights(
    new Construct(scope, "rights"),
    nameAtAws(scope, 64), // IAM's limit
    platform.tags,
    platform.props.permissionsBoundary,
  );
  const type = node.instanceType ?? platform.props.instanceType ?? "t3.small";
  const image = node.image ?? platform.image;
  platform.facts.instanceType(type, image.architecture);
  const ownType = node.instanceType !== undefined;
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
      ignoreChanges: [
        ...(node.image ? [] : ["ami"]),
        ...(ownType ? [] : ["instance_type"]),
        "user_data",
        "key_name",
        "placement_group",
      ],
    },
  });
  // Version 6 of the provider names the first interface apart and deprecates the old block.
  instance.addOverride(
    providerMajor() >= 6 ? "primary_network_interface" : "network_interface",
    providerMajor() >= 6
      ? { network_interface_id: networkInterface.id }
      : [{ network_interface_id: networkInterface.id, device_index: 0 }],
  );
  expect(instance, [
    ...(ownType ? [] : [keepsItsType(name, type)]),
    ...(platform.props.spread === false ? [isInNoGroup(name)] : []),
  ]);
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
    provider: platform.props.provider,
    hasPublicAddress: publicAddress !== undefined,
    arn: (service, resource, region) => platform.arn(service, resource, region),
    get region() {
      return platform.region;
    },
    grant: (right) => rights.grant(right),
    acceptForeignAddresses: () => (foreignAddresses = true),
    expectSecondaryAddress: (reservation) => {
      // else AWS could choose the very address for this interface
      if (reservation) reservations.push(reservation);
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

/** What the platform says of all nodes is no reason to stop all of them at once. */
function keepsItsType(name: string, type: string): Expectation {
  return {
    condition: `self.instance_type == ${isToken(type) ? type : JSON.stringify(type)}`,
    problem: {
      code: "all-at-once",
      what: `${name} is a \${self.instance_type}, and 'instanceType' of the platform is ${type}`,
      allowed: "the type it has, or one of its own: a change for all nodes would stop all of them at once",
      fix: `nodes: { "${name}": { instanceType: "..." } }, with one node changed in an apply; the platform's last`,
    },
  };
}

/** EC2 keeps a placement group as long as an instance is in it. */
function isInNoGroup(name: string): Expectation {
  return {
    condition: "try(length(self.placement_group), 0) == 0",
    problem: {
      code: "placement-kept",
      what: `'spread' is false, and ${name} is in the placement group \${self.placement_group}`,
      allowed: "spread: true for nodes that were made with it: EC2 moves no instance out of its group",
      fix: "leave 'spread' out; nodes that may share hardware belong into a cluster on a platform of its own",
    },
  };
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
