import { DataAwsCallerIdentity } from "@cdktf/provider-aws/lib/data-aws-caller-identity";
import { DataAwsPartition } from "@cdktf/provider-aws/lib/data-aws-partition";
import { DataAwsRegion } from "@cdktf/provider-aws/lib/data-aws-region";
import { KeyPair } from "@cdktf/provider-aws/lib/key-pair";
import { PlacementGroup } from "@cdktf/provider-aws/lib/placement-group";
import type { TerraformProvider } from "cdktf";
import { Construct } from "constructs";
import { Connections } from "../../firewall/connections";
import type { Peer } from "../../firewall/peer";
import { Port } from "../../firewall/port";
import type { Rule } from "../../firewall/rule-set";
import { SecurityGroups } from "../../firewall/security-groups";
import { checkProps } from "../../input/guard";
import { canonicalIp, contains, isIp, isIpv6, parseNetwork } from "../../net";
import {
  checkAtSynth,
  checkCountIfKnown,
  checkSeconds,
  isToken,
  refuse,
  warn,
  warnAtSynth,
  type Problem,
} from "../../problem";
import { carrierOf, type Carrier } from "../../push/carrier";
import { after } from "../../push/push";
import type { Machine } from "../machine";
import { Members } from "../members";
import { outgoingRules, type Outgoing } from "../outgoing";
import type { NodeProps, Platform } from "../platform";
import { checkPublicKey, checkSshAccess, type SshAccess } from "../ssh-access";
import { checkKeyArn, checkPolicyArn } from "../../arn";
import { checkDataVolume, GP3_GIB } from "./data-volume";
import { AwsFacts } from "./facts";
import { nameAtAws, tagsAtAws } from "./identity";
import { createInstance } from "./instance";
import { MachineImage } from "./machine-image";
import { madeBy } from "./provider";
import { refuseReserved } from "./reserved-address";

/** One zone of the platform. */
export interface AwsSubnet {
  readonly id: string;
  /** Its network, so that fixed addresses can be checked. @default - unknown */
  readonly cidr?: string;
  /** Its availability zone at AWS: `eu-west-1a`. @default - looked up where it is needed */
  readonly availabilityZone?: string;
}

export interface AwsSsh extends SshAccess {
  /** An EC2 key pair that exists already. */
  readonly keyName?: string;
  /** Public key from which a key pair is made. */
  readonly publicKey?: string;
}

export interface AwsPlatformProps {
  readonly vpcId: string;
  /** By the zone's name (your own: `a`, `b`), a subnet each. Names stay with their subnets when the list grows. */
  readonly subnets: Readonly<Record<string, string | AwsSubnet>>;
  /** How Terraform gets in, and which key the instances trust: one of `keyName` and `publicKey`. */
  readonly ssh: AwsSsh;
  /** Who may connect by SSH: the networks Terraform runs in, or the bastion's private address. */
  readonly admins: readonly Peer[];
  /** @default MachineImage.debian12() */
  readonly image?: MachineImage;
  /**
   * Nodes are made with it and keep it: a change here would stop all of them at once, so Terraform refuses it while it
   * plans. A node changes its type by one of its own (`nodes: { "lb-1": { instanceType } }`), one after the other.
   * @default "t3.small" - 2 cores, 2 GiB: a load balancer; databases want more
   */
  readonly instanceType?: string;
  /** GiB of the encrypted root volume; it grows while its instance runs. @default 16 - Debian and some years of logs */
  readonly rootVolumeGiB?: number;
  /** ARN of the KMS key of all volumes. @default - AWS's own key for EBS */
  readonly kmsKeyArn?: string;
  /**
   * Nodes of one cluster on different hardware within a zone. At most 7 nodes of a cluster in one zone. To be chosen
   * before the first node is made: EC2 moves no instance out of its placement group, so Terraform refuses a later `false`
   * while it plans, and a later `true` is for new nodes only.
   * @default true
   */
  readonly spread?: boolean;
  /** Public IPv4 addresses for all instances. @default false */
  readonly publicAddresses?: boolean;
  /**
   * ARN of an IAM policy beyond which no right of a machine's role can go. With it the policy of whoever deploys can be
   * held to roles that have it: else who may give rights to machines has every right (docs/aws.md).
   * @default - the roles' own policies are the only bound
   */
  readonly permissionsBoundary?: string;
  /** @default Outgoing.anywhere() */
  readonly outgoing?: Outgoing;
  /** A firewall on each machine too, from the same rules as the security groups. @default true */
  readonly hostFirewall?: boolean;
  /** On everything that can have tags, beside `ManagedBy`, which is `cdktf-ha-clusters`. @default none */
  readonly tags?: Readonly<Record<string, string>>;
  /**
   * Of another region or account: an `AwsProvider` with an `alias`. A platform is in one region; clusters may have nodes on
   * several platforms, whose VPCs then have routes to each other (peering, a transit gateway).
   * @default - the stack's provider without an alias
   */
  readonly provider?: TerraformProvider;
  /**
   * Seconds in which Terraform must confirm a change of a machine's firewall over a new connection; else it goes back.
   * @default 60 - a busy machine behind a bastion needs some seconds for a new connection
   */
  readonly firewallConfirmWithin?: number;
  /** AWS's quotas, where yours are other than those every account begins with. */
  readonly limits?: AwsLimits;
  /** @default - the context value `cdktf-ha-clusters:carrier`, else null_resource */
  readonly carrier?: Carrier;
}

export interface AwsLimits {
  /** Rules of a security group in one direction for one family of addresses. @default 60 */
  readonly rulesPerGroup?: number;
  /** Security groups of a network interface. @default 5 */
  readonly groupsPerInterface?: number;
}

interface Account {
  readonly partition: string;
  readonly region: string;
  readonly id: string;
}

/** EC2's limit of a spread placement group in one zone. */
const SPREAD_LIMIT = 7;

/** Instances in the subnets of a VPC, in as many zones as it has. */
export class AwsPlatform extends Construct implements Platform {
  readonly placesByHost = false;
  readonly zones: readonly string[];
  readonly admins: readonly Peer[];
  readonly outgoing: readonly Rule[] | undefined;
  readonly hostFirewall: boolean;
  readonly firewallConfirmWithin: number;
  readonly carrier: Carrier;
  readonly gate: SecurityGroups;
  readonly image: MachineImage;
  readonly facts: AwsFacts;
  readonly tags: Readonly<Record<string, string>>;
  /** Lets admins in to every machine. */
  readonly administration: Connections;
  private readonly names = new Map<string, Machine>();
  private readonly placements = new Map<Construct, { group: PlacementGroup; zones: string[] }>();
  private itsAccount?: Account;
  private imageId?: string;
  private keyPair?: KeyPair;

  constructor(
    scope: Construct,
    id: string,
    readonly props: AwsPlatformProps,
  ) {
    super(scope, id);
    checkProps(this, "AwsPlatformProps", props);
    this.checkProps();
    this.zones = Object.keys(props.subnets);
    this.admins = props.admins;
    this.outgoing = outgoingRules(props.outgoing);
    this.hostFirewall = props.hostFirewall ?? true;
    checkSeconds(this, "firewallConfirmWithin", props.firewallConfirmWithin);
    this.firewallConfirmWithin = props.firewallConfirmWithin ?? 60;
    this.carrier = carrierOf(this, props.carrier);
    this.image = props.image ?? MachineImage.debian12();
    this.facts = new AwsFacts(this, "facts", {
      vpcId: props.vpcId,
      subnets: Object.fromEntries(this.zones.map((zone) => [zone, subnetOf(props.subnets[zone]!)])),
    });
    this.facts.checkSubnets();
    this.tags = tagsAtAws(this, props.tags);
    this.gate = new SecurityGroups({
      platform: id,
      vpcId: props.vpcId,
      tags: this.tags,
      outgoing: this.outgoing,
      provider: props.provider,
    });
    madeBy(this, props.provider);
    this.administration = new Connections(new Construct(this, "administration"), { name: "ssh" });
    this.sayGoodbyeToMachinesThatLeave();
    checkAtSynth(this, () => this.problems());
  }

  machine(scope: Construct, name: string, node: NodeProps): Machine {
    if (this.names.has(name)) {
      refuse(scope, {
        code: "duplicate-name",
        what: `a second machine '${name}' on the platform`,
        allowed: "every machine has a name of its own",
        fix: `rename the node; to put a second service on the first one, give the Machine itself: nodes: { "${name}": cluster.machines[0] }`,
      });
    }
    const zone = node.zone ?? this.zones[0]!;
    const subnet = this.subnet(scope, zone);
    this.checkAddress(scope, name, node.privateAddress, subnet);
    checkDataVolume(scope, name, node.dataVolume);
    const machine = createInstance(this, scope, name, {
      node,
      zone,
      subnet,
      placementGroup: this.placement(scope, zone),
    });
    this.names.set(name, machine);
    this.administration.addMachine(machine);
    if (this.names.size === 1)
      for (const peer of this.admins) this.administration.allowFrom(peer, this.sshPort);
    return machine;
  }

  holderOf(address: string): string | undefined {
    const same = ({ privateAddress }: Machine): boolean =>
      canonicalIp(privateAddress) === canonicalIp(address);
    return [...this.names.values()].find(same)?.name;
  }

  get sshPort(): Port {
    return Port.tcp(this.props.ssh.port ?? 22);
  }

  /** The AMI, looked up once. */
  get ami(): string {
    if (this.imageId === undefined) {
      this.imageId = this.image.resolve(this);
      this.facts.image(this, this.image);
    }
    return this.imageId;
  }

  get keyName(): string {
    const { keyName, publicKey } = this.props.ssh;
    if (keyName !== undefined) return keyName;
    this.keyPair ??= new KeyPair(this, "key", {
      keyName: nameAtAws(this, 255),
      publicKey: publicKey!,
      tags: { ...this.tags },
    });
    return this.keyPair.keyName;
  }

  /** ARN of something in the platform's own account, and in its own region if no other one is named. */
  arn(service: string, resource: string, region?: string): string {
    const { partition, id, region: own } = this.account;
    // a bucket's name is one in the whole world
    const place = service === "s3" ? ":" : `${region ?? own}:${id}`;
    return `arn:${partition}:${service}:${place}:${resource}`;
  }

  get region(): string {
    return this.account.region;
  }

  /** Looked up once, if anybody wants to know. */
  private get account(): Account {
    return (this.itsAccount ??= {
      partition: new DataAwsPartition(this, "partition").partition,
      // `id`: version 6 of the provider deprecates `name`
      region: new DataAwsRegion(this, "region").id,
      id: new DataAwsCallerIdentity(this, "account").accountId,
    });
  }

  private subnet(scope: Construct, zone: string): AwsSubnet {
    const subnet = this.props.subnets[zone];
    if (subnet === undefined) {
      return refuse(scope, {
        code: "unknown-zone",
        what: `no zone '${zone}'`,
        allowed: this.zones.join(", "),
        fix: "add a subnet for it, or correct the name",
      });
    }
    return subnetOf(subnet);
  }

  private placement(scope: Construct, zone: string): PlacementGroup | undefined {
    if (this.props.spread === false) return undefined;
    let placement = this.placements.get(scope);
    if (!placement) {
      // a cluster on several platforms has one on each
      const further = scope.node.tryFindChild("spread") ? `-${this.node.id}` : "";
      const group = new PlacementGroup(scope, `spread${further}`, {
        name: nameAtAws(scope, 255, further),
        strategy: "spread",
        tags: { ...this.tags },
        provider: this.props.provider,
      });
      this.placements.set(scope, (placement = { group, zones: [] }));
    }
    placement.zones.push(zone);
    return placement.group;
  }

  private checkProps(): void {
    const { props } = this;
    checkSshAccess(this, props.ssh);
    checkPublicKey(this, "ssh.publicKey", props.ssh.publicKey);
    checkCountIfKnown(
      this,
      "rootVolumeGiB",
      props.rootVolumeGiB,
      1,
      GP3_GIB,
      "EBS's own limits; 8 at least for Debian",
    );
    checkKeyArn(this, "kmsKeyArn", props.kmsKeyArn);
    checkPolicyArn(this, "permissionsBoundary", props.permissionsBoundary);
    if ((props.ssh.keyName === undefined) === (props.ssh.publicKey === undefined)) {
      refuse(this, {
        code: "ssh-access-unclear",
        what: `${props.ssh.keyName === undefined ? "neither" : "both"} of 'ssh.keyName' and 'ssh.publicKey'`,
        allowed: "one of them: the instances have to trust a key",
        fix: "keyName of an EC2 key pair, or publicKey for a new one",
      });
    }
    if (!props.admins.length) {
      refuse(this, {
        code: "no-admins",
        what: "'admins' is empty",
        allowed: "at least the network from which Terraform connects, or the bastion",
        fix: "admins: [Peer.cidr(...)]",
      });
    }
    const zones = Object.keys(props.subnets);
    if (!zones.length) {
      refuse(this, {
        code: "unknown-zone",
        what: "'subnets' is empty",
        allowed: "a subnet for each zone, in at least two of them",
        fix: 'subnets: { a: "subnet-...", b: "subnet-..." }',
      });
    }
    for (const [zone, subnet] of Object.entries(props.subnets)) {
      const cidr = typeof subnet === "string" ? undefined : subnet.cidr;
      if (cidr !== undefined && !isToken(cidr) && !parseNetwork(cidr)) {
        refuse(this, {
          code: "bad-cidr",
          what: `'subnets.${zone}.cidr' is '${cidr}'`,
          allowed: "a network in CIDR notation",
          fix: "write it like 10.0.1.0/24",
        });
      }
    }
    if (props.hostFirewall === false) {
      warn(this, {
        code: "no-host-firewall",
        what: "'hostFirewall' is false",
        allowed: "true: ports for localhost only, like JMX, are closed nowhere else",
        fix: "leave it out",
      });
    }
  }

  private checkAddress(
    scope: Construct,
    name: string,
    address: string | undefined,
    { cidr }: AwsSubnet,
  ): void {
    if (address === undefined || isToken(address)) return;
    const holder = this.holderOf(address);
    if (holder !== undefined) {
      refuse(scope, {
        code: "duplicate-address",
        what: `'nodes.${name}.privateAddress' is ${address}, which ${holder} has`,
        allowed: "an address of its own for every node",
        fix: "choose a free one, or leave it out: the interface keeps what AWS chooses",
      });
    }
    const network = cidr === undefined || isToken(cidr) ? undefined : cidr;
    if (isIp(address) && !isIpv6(address) && network !== undefined && contains(network, address))
      refuseReserved(scope, `'nodes.${name}.privateAddress'`, address, network);
    if (isIp(address) && (network === undefined || contains(network, address))) return;
    refuse(scope, {
      code: "bad-address",
      what: `'nodes.${name}.privateAddress' is '${address}'`,
      allowed:
        cidr === undefined ? "an address of the zone's subnet" : `an address of ${cidr}, the zone's subnet`,
      fix: "choose a free one, or leave it out: the interface keeps what AWS chooses",
    });
  }

  /**
   * A machine that has something to hand over does so before its instance goes; one without just goes. Whether or not there is one now: the
   * last one that did is asked when it has left the code.
   */
  private sayGoodbyeToMachinesThatLeave(): void {
    const { privateKey, privateKeyFile } = this.props.ssh;
    const members = (): [string, Machine][] =>
      [...this.names].filter(([, { handovers }]) => handovers.length > 0);
    if (privateKey) {
      const problem = {
        code: "removal-needs-key",
        what: "'ssh.privateKey' is a variable, and machines of the platform have something to hand over when they leave",
        allowed: "privateKeyFile or agent: a key from a variable would stand in the state",
        fix: "load the key into an agent in CI; or run `cdktf-ha leave` on the machine before it leaves the code",
      } as const;
      warnAtSynth(this, () => (members().length ? [problem] : []));
      return;
    }
    const { last } = new Members(this, () =>
      Object.fromEntries(
        members().map(([name, { connection, handovers }]) => [
          name,
          { connection, privateKeyFile, handovers },
        ]),
      ),
    );
    // What comes later goes earlier: instance, volume, rules and rights of a machine that leaves stay until it has handed over.
    after(this, last, () => members().flatMap(([, machine]) => machine.readiness()));
  }

  private problems(): Problem[] {
    const problems: Problem[] = [];
    for (const [scope, { zones }] of this.placements) {
      for (const zone of new Set(zones)) {
        const count = zones.filter((other) => other === zone).length;
        if (count <= SPREAD_LIMIT) continue;
        problems.push({
          code: "number-out-of-range",
          what: `${scope.node.path} has ${count} nodes in zone '${zone}'`,
          allowed: `${SPREAD_LIMIT}: EC2's limit of nodes on different hardware in one zone`,
          fix: "spread: false at the platform, or more zones",
        });
      }
    }
    const { rulesPerGroup = 60, groupsPerInterface = 5 } = this.props.limits ?? {};
    const fix = "fewer and larger networks, fewer ports; or 'limits', once AWS has raised your quota";
    for (const count of this.gate.beyond(rulesPerGroup)) {
      problems.push({
        code: "over-limit",
        what: `rules of ${count}`,
        allowed: `${rulesPerGroup} rules of a security group in one direction`,
        fix,
      });
    }
    for (const machine of this.names.values()) {
      if (machine.groups.length <= groupsPerInterface) continue;
      problems.push({
        code: "over-limit",
        what: `${machine.name} is in ${machine.groups.length} groups: ${machine.groups.map(({ name }) => name).join(", ")}`,
        allowed: `${groupsPerInterface} security groups of a network interface`,
        fix: "fewer clusters on the machine; or 'limits', once AWS has raised your quota",
      });
    }
    return problems;
  }
}

function subnetOf(subnet: string | AwsSubnet): AwsSubnet {
  return typeof subnet === "string" ? { id: subnet } : subnet;
}
