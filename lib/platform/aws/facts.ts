import { DataAwsAmi } from "@cdktf/provider-aws/lib/data-aws-ami";
import { DataAwsEc2InstanceType } from "@cdktf/provider-aws/lib/data-aws-ec2-instance-type";
import { DataAwsSubnet } from "@cdktf/provider-aws/lib/data-aws-subnet";
import { DataAwsVpc } from "@cdktf/provider-aws/lib/data-aws-vpc";
import type { TerraformElement } from "cdktf";
import { Construct } from "constructs";
import { atSynth } from "../at-synth";
import { isToken, problemText, type Problem } from "../../problem";
import type { AwsSubnet } from "./aws-platform";
import type { Architecture, MachineImage } from "./machine-image";

export interface Expectation {
  /** Terraform's expression; `self` is the data source. */
  readonly condition: string;
  /** May hold Terraform expressions. */
  readonly problem: Problem;
}

export interface AwsFactsProps {
  readonly vpcId: string;
  readonly subnets: Readonly<Record<string, AwsSubnet>>;
}

/**
 * What only AWS knows of the VPC, its subnets and instance types. Terraform asks while it plans, so a mistake is told
 * before anything is made, in the same words as any other problem. What the stack itself makes is not asked about.
 */
export class AwsFacts extends Construct {
  private readonly subnets = new Map<string, DataAwsSubnet>();
  private readonly types = new Map<string, Expectation[]>();
  private vpcExpectations?: Expectation[];

  constructor(
    scope: Construct,
    id: string,
    private readonly props: AwsFactsProps,
  ) {
    super(scope, id);
  }

  /** Looks at every subnet. */
  checkSubnets(): void {
    const zones = Object.keys(this.props.subnets);
    const known = zones.filter((zone) => !isToken(this.props.subnets[zone]!.id));
    for (const zone of known) this.subnet(zone);
    if (known.length < 2 || known.length < zones.length) return;
    const last = this.subnets.get(known.at(-1)!)!;
    const others = known.slice(0, -1).map((zone) => this.subnets.get(zone)!.availabilityZone);
    expect(last, [
      ...this.subnetExpectations(known.at(-1)!),
      {
        condition: `length(distinct([self.availability_zone, ${others.join(", ")}])) > 1`,
        problem: {
          code: "one-zone",
          what: `all ${known.length} subnets are in the availability zone \${self.availability_zone}`,
          allowed: "subnets in at least two: an availability zone fails as a whole",
          fix: "give subnets of other availability zones in 'subnets'",
        },
      },
    ]);
  }

  /** Name at AWS of the zone's availability zone. */
  availabilityZone(zone: string): string {
    return this.props.subnets[zone]!.availabilityZone ?? this.subnet(zone).availabilityZone;
  }

  /** The AMI of a certain id has to be there, and of the architecture it is said to be. */
  image(scope: Construct, { id, architecture }: MachineImage): void {
    if (id === undefined || isToken(id)) return;
    // Where there is none the provider stops the plan with words of its own, which name this resource alone.
    const source = new DataAwsAmi(scope, `image-${id}`, {
      filter: [{ name: "image-id", values: [id] }],
      includeDeprecated: true,
    });
    expect(source, [
      {
        condition: `self.architecture == "${architecture}"`,
        problem: {
          code: "wrong-architecture",
          what: `the image ${id} is for \${self.architecture}`,
          allowed: `an image for ${architecture}, as 'architecture' says`,
          fix: `MachineImage.id("${id}", { architecture: "..." }), with an instance type to match`,
        },
      },
    ]);
  }

  /** An instance type has to be there, for this architecture. */
  instanceType(type: string, architecture: Architecture): void {
    if (isToken(type)) return;
    this.expectOfType(type, {
      condition: `contains(self.supported_architectures, "${architecture}")`,
      problem: {
        code: "wrong-architecture",
        what: `instances of type ${type} cannot run an image for ${architecture}`,
        allowed: `\${join(", ", self.supported_architectures)} on ${type}`,
        fix: `another 'instanceType', or the image for its architecture: MachineImage.debian12("arm64")`,
      },
    });
  }

  /** An interface of this instance type has to take so many addresses, its own one among them. */
  addresses(type: string, count: () => number): void {
    if (isToken(type)) return;
    this.expectOfType(type, {
      get condition() {
        return `self.maximum_ipv4_addresses_per_interface >= ${count()}`;
      },
      get problem(): Problem {
        return {
          code: "over-limit",
          what: `an instance of type ${type} may have to hold ${count()} private addresses, its own one and the virtual IPs`,
          allowed: `\${self.maximum_ipv4_addresses_per_interface} on an interface of ${type}`,
          fix: "a larger 'instanceType', or fewer virtual IPs on one group of nodes",
        };
      },
    });
  }

  /** An address that route tables lead to lies outside of the VPC: inside, its own route always wins. */
  outsideVpc(address: string): void {
    if (isToken(address) || isToken(this.props.vpcId)) return;
    if (!this.vpcExpectations) {
      this.vpcExpectations = [];
      expect(new DataAwsVpc(this, "vpc", { id: this.props.vpcId }), this.vpcExpectations);
    }
    const inside = `cidrhost("${address}/\${split("/", each.cidr_block)[1]}", 0) == cidrhost(each.cidr_block, 0)`;
    this.vpcExpectations.push({
      condition: `alltrue([for each in self.cidr_block_associations : !(${inside})])`,
      problem: {
        code: "virtual-ip-inside-vpc",
        what: `the virtual IP ${address} is inside a network of the VPC: \${join(", ", self.cidr_block_associations[*].cidr_block)}`,
        allowed:
          "an address outside: inside the VPC its own route leads to the subnet, whatever the tables say",
        fix: "choose one of another private network, like 192.168.90.1",
      },
    });
  }

  private expectOfType(type: string, expectation: Expectation): void {
    let expectations = this.types.get(type);
    if (!expectations) {
      this.types.set(type, (expectations = []));
      expect(
        new DataAwsEc2InstanceType(this, `type-${type.replace(/\W/g, "-")}`, { instanceType: type }),
        expectations,
      );
    }
    expectations.push(expectation);
  }

  private subnet(zone: string): DataAwsSubnet {
    let subnet = this.subnets.get(zone);
    if (!subnet) {
      subnet = new DataAwsSubnet(this, `subnet-${zone}`, { id: this.props.subnets[zone]!.id });
      this.subnets.set(zone, subnet);
      expect(subnet, this.subnetExpectations(zone));
    }
    return subnet;
  }

  private subnetExpectations(zone: string): Expectation[] {
    const { cidr, id } = this.props.subnets[zone]!;
    const { vpcId } = this.props;
    const expectations: Expectation[] = [
      {
        condition: `self.vpc_id == ${isToken(vpcId) ? vpcId : JSON.stringify(vpcId)}`,
        problem: {
          code: "subnet-outside-vpc",
          what: `'subnets.${zone}' is ${id}, a subnet of the VPC \${self.vpc_id}`,
          allowed: `subnets of ${vpcId}, the platform's VPC`,
          fix: "correct 'vpcId' or the subnet",
        },
      },
    ];
    if (cidr !== undefined && !isToken(cidr)) {
      expectations.push({
        condition: `self.cidr_block == "${cidr}"`,
        problem: {
          code: "bad-cidr",
          what: `'subnets.${zone}.cidr' is ${cidr}`,
          allowed: `\${self.cidr_block}, which ${id} has`,
          fix: "correct it, or leave it out",
        },
      });
    }
    return expectations;
  }
}

/** Terraform stops with the problem where the condition does not hold; while it plans, if it knows enough by then. */
export function expect(source: TerraformElement, expectations: readonly Expectation[]): void {
  const produce = (): unknown =>
    expectations.length
      ? expectations.map(({ condition, problem }) => ({
          condition: `\${${condition}}`,
          error_message: problemText(source.node.scope!.node.path, problem),
        }))
      : undefined;
  source.addOverride("lifecycle.postcondition", atSynth(produce));
}
