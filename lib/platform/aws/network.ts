import { DataAwsAvailabilityZones } from "@cdktf/provider-aws/lib/data-aws-availability-zones";
import { DataAwsRegion } from "@cdktf/provider-aws/lib/data-aws-region";
import { Eip } from "@cdktf/provider-aws/lib/eip";
import { InternetGateway } from "@cdktf/provider-aws/lib/internet-gateway";
import { NatGateway } from "@cdktf/provider-aws/lib/nat-gateway";
import { Route } from "@cdktf/provider-aws/lib/route";
import { RouteTable } from "@cdktf/provider-aws/lib/route-table";
import { RouteTableAssociation } from "@cdktf/provider-aws/lib/route-table-association";
import { SecurityGroup } from "@cdktf/provider-aws/lib/security-group";
import { Subnet } from "@cdktf/provider-aws/lib/subnet";
import { Vpc } from "@cdktf/provider-aws/lib/vpc";
import { VpcEndpoint } from "@cdktf/provider-aws/lib/vpc-endpoint";
import { VpcSecurityGroupIngressRule } from "@cdktf/provider-aws/lib/vpc-security-group-ingress-rule";
import type { TerraformProvider } from "cdktf";
import { Construct } from "constructs";
import { checkProps } from "../../input/guard";
import { parseNetwork, sixteenth } from "../../net";
import { refuse } from "../../problem";
import { expect } from "./facts";
import { tagsAtAws } from "./identity";
import { madeBy } from "./provider";

export interface AwsNetworkProps {
  /** IPv4 network of the VPC, /16 to /24; each subnet gets a sixteenth of it. */
  readonly cidr: string;
  /**
   * Last letters of availability zones. A zone's subnets follow from its letter alone, so zones can come and go.
   * @default a, b, c - who has three can lose one and keep a majority
   */
  readonly zones?: readonly string[];
  /**
   * A NAT gateway in each zone, so that machines in private subnets reach package mirrors.
   * @default true
   */
  readonly nat?: boolean;
  /**
   * Services of AWS's that machines reach inside the VPC, without NAT and without a public address: `ec2`,
   * `secretsmanager`, `ssm`. S3 is always there, since its endpoint costs nothing.
   * @default ec2 - a node without a public address has to tell the API that it takes a virtual IP over
   */
  readonly endpoints?: readonly string[];
  /** Beside `ManagedBy`, which is `cdktf-ha-clusters`. @default none */
  readonly tags?: Readonly<Record<string, string>>;
  /** Of another region or account: an `AwsProvider` with an `alias`. @default - the stack's provider without one */
  readonly provider?: TerraformProvider;
}

/** A subnet as {@link AwsPlatformProps.subnets} takes it. */
export interface NetworkSubnet {
  readonly id: string;
  readonly cidr: string;
  readonly availabilityZone: string;
}

const LETTERS = "abcdefgh";

/**
 * A small VPC made for the purpose: a private and a public subnet in each zone. Machines whose virtual IP is elastic belong
 * into public subnets, all others into private ones.
 */
export class AwsNetwork extends Construct {
  readonly vpcId: string;
  /** For `subnets` of a platform; by the zone's letter. The way out, if there is one, is the zone's NAT gateway. */
  readonly privateSubnets: Readonly<Record<string, NetworkSubnet>>;
  /** For `subnets` of a platform; by the zone's letter. A way in and out for whoever has an elastic address. */
  readonly publicSubnets: Readonly<Record<string, NetworkSubnet>>;
  /** All of them: for a virtual IP that route tables lead to. */
  readonly routeTableIds: readonly string[];
  private readonly tags: Readonly<Record<string, string>>;
  private readonly tables: RouteTable[] = [];

  constructor(
    scope: Construct,
    id: string,
    private readonly props: AwsNetworkProps,
  ) {
    super(scope, id);
    checkProps(this, "AwsNetworkProps", props);
    const { cidr, zones = ["a", "b", "c"], nat = true } = props;
    this.checkProps(zones);
    madeBy(this, props.provider);
    this.tags = tagsAtAws(this, props.tags);
    const vpc = new Vpc(this, "vpc", {
      cidrBlock: cidr,
      enableDnsSupport: true,
      enableDnsHostnames: true, // endpoints answer under the services' own names
      tags: this.named("vpc"),
    });
    this.vpcId = vpc.id;
    const region = new DataAwsRegion(this, "region").id;
    const available = new DataAwsAvailabilityZones(this, "zones", { state: "available" });
    expect(
      available,
      zones.map((zone) => ({
        condition: `contains(self.names, join("", [${region}, "${zone}"]))`,
        problem: {
          code: "unknown-zone" as const,
          what: `the region has no availability zone '${zone}' for this account`,
          allowed: `\${join(", ", self.names)}`,
          fix: "zones: [...] with the last letters of these",
        },
      })),
    );
    const gateway = new InternetGateway(this, "internet", { vpcId: vpc.id, tags: this.named("internet") });
    const publicTable = this.table("public");
    new Route(this, "public-out", {
      routeTableId: publicTable.id,
      destinationCidrBlock: "0.0.0.0/0",
      gatewayId: gateway.id,
    });
    const [privates, publics] = [{} as Record<string, NetworkSubnet>, {} as Record<string, NetworkSubnet>];
    for (const zone of zones) {
      const index = LETTERS.indexOf(zone);
      const place = { availabilityZone: `${region}${zone}` };
      publics[zone] = this.subnet(`public-${zone}`, LETTERS.length + index, place, publicTable);
      const table = this.table(`private-${zone}`);
      privates[zone] = this.subnet(`private-${zone}`, index, place, table);
      if (nat) this.natFor(zone, publics[zone].id, table, gateway);
    }
    this.privateSubnets = privates;
    this.publicSubnets = publics;
    this.routeTableIds = this.tables.map((table) => table.id);
    this.makeEndpoints(region);
  }

  private subnet(
    name: string,
    index: number,
    { availabilityZone }: { readonly availabilityZone: string },
    table: RouteTable,
  ): NetworkSubnet {
    const cidr = sixteenth(this.props.cidr, index);
    const subnet = new Subnet(this, name, {
      vpcId: this.vpcId,
      cidrBlock: cidr,
      availabilityZone,
      tags: this.named(name),
    });
    new RouteTableAssociation(this, `${name}-table`, { subnetId: subnet.id, routeTableId: table.id });
    return { id: subnet.id, cidr, availabilityZone };
  }

  /** Routes are resources of their own: inside, they would fight with those that keepalived changes. */
  private table(name: string): RouteTable {
    const table = new RouteTable(this, `${name}-routes`, { vpcId: this.vpcId, tags: this.named(name) });
    this.tables.push(table);
    return table;
  }

  private natFor(zone: string, subnetId: string, table: RouteTable, gateway: InternetGateway): void {
    const tags = this.named(`nat-${zone}`);
    const address = new Eip(this, `nat-${zone}-address`, { domain: "vpc", tags });
    const nat = new NatGateway(this, `nat-${zone}`, {
      subnetId,
      allocationId: address.allocationId,
      tags,
      dependsOn: [gateway],
    });
    new Route(this, `private-${zone}-out`, {
      routeTableId: table.id,
      destinationCidrBlock: "0.0.0.0/0",
      natGatewayId: nat.id,
    });
  }

  private makeEndpoints(region: string): void {
    const { endpoints = ["ec2"], cidr } = this.props;
    new VpcEndpoint(this, "s3", {
      vpcId: this.vpcId,
      serviceName: `com.amazonaws.${region}.s3`,
      vpcEndpointType: "Gateway",
      routeTableIds: [...this.routeTableIds],
      tags: this.named("s3"),
    });
    if (!endpoints.length) return;
    const group = new SecurityGroup(this, "endpoints", {
      description: "endpoints of AWS services: managed by cdktf-ha-clusters",
      vpcId: this.vpcId,
      tags: this.named("endpoints"),
    });
    new VpcSecurityGroupIngressRule(this, "endpoints-from-vpc", {
      securityGroupId: group.id,
      description: "https from the VPC",
      cidrIpv4: cidr,
      ipProtocol: "tcp",
      fromPort: 443,
      toPort: 443,
      tags: { ...this.tags },
    });
    for (const service of endpoints) {
      new VpcEndpoint(this, `endpoint-${service}`, {
        vpcId: this.vpcId,
        serviceName: `com.amazonaws.${region}.${service}`,
        vpcEndpointType: "Interface",
        privateDnsEnabled: true,
        subnetIds: Object.values(this.privateSubnets).map((subnet) => subnet.id),
        securityGroupIds: [group.id],
        tags: this.named(service),
      });
    }
  }

  private named(name: string): Record<string, string> {
    return { ...this.tags, Name: `${this.node.id}-${name}` };
  }

  private checkProps(zones: readonly string[]): void {
    const { cidr } = this.props;
    const prefix = Number(/^[\d.]+\/(\d+)$/.exec(cidr)?.[1]);
    if (!parseNetwork(cidr) || !(prefix >= 16 && prefix <= 24)) {
      refuse(this, {
        code: "bad-cidr",
        what: `'cidr' is '${cidr}'`,
        allowed:
          "an IPv4 network of /16 to /24: AWS's largest VPC, and its smallest subnet a sixteenth of it",
        fix: "write it like 10.1.0.0/16",
      });
    }
    const wrong = zones.find((zone) => zone.length !== 1 || !LETTERS.includes(zone));
    if (wrong !== undefined || new Set(zones).size !== zones.length || zones.length < 2) {
      refuse(this, {
        code: wrong === undefined && zones.length < 2 ? "one-zone" : "unknown-zone",
        what: `'zones' is ${JSON.stringify(zones)}`,
        allowed: `at least two different letters of ${LETTERS}: the last ones of availability zones`,
        fix: 'zones: ["a", "b", "c"]',
      });
    }
  }
}
