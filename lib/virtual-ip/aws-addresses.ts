import { join } from "node:path";
import { Ec2SubnetCidrReservation } from "@cdktf/provider-aws/lib/ec2-subnet-cidr-reservation";
import { Eip } from "@cdktf/provider-aws/lib/eip";
import { Route } from "@cdktf/provider-aws/lib/route";
import { TerraformStack } from "cdktf";
import type { Construct, IConstruct } from "constructs";
import { canonicalIp, contains, isIp, isIpv6 } from "../net";
import type { AwsMachine } from "../platform/aws/instance";
import type { Machine } from "../platform/machine";
import { refuseReserved } from "../platform/aws/reserved-address";
import { isToken, refuse } from "../problem";
import { awsProgram } from "./aws-program";
import { MovingAddress, type AddressOnMachine } from "./moving-address";

const HOOKS = join(__dirname, "hooks");

/** A false alarm costs calls to an API and seconds, so the alarm is a little slower than on a plain network. */
const ADVERT_INTERVAL = 0.3;

abstract class AwsAddress extends MovingAddress {
  readonly advertInterval = ADVERT_INTERVAL;

  check(scope: Construct, machines: readonly Machine[]): void {
    for (const machine of machines) {
      if (machine.aws) continue;
      refuse(scope, {
        code: "virtual-ip-mode",
        what: `the virtual IP moves by AWS's API (${this.mode}), ${machine.name} is no EC2 instance`,
        allowed: "machines of an AwsPlatform; elsewhere VirtualIp.layer2",
        fix: 'virtualIp: VirtualIp.layer2("10.0.1.90/27")',
      });
    }
  }

  protected claim(hook: string, values: Readonly<Record<string, string>>): string {
    return awsProgram(join(HOOKS, hook), values);
  }
}

interface ExistingElasticAddress {
  readonly allocationId: string;
  readonly address: string;
}

/** A public address of AWS's that is associated with whichever interface is alive, in any zone. */
export class ElasticAddress extends AwsAddress {
  readonly mode = "elastic";
  private made?: ExistingElasticAddress;

  constructor(private readonly existing?: ExistingElasticAddress) {
    super();
  }

  get address(): string {
    return (this.existing ?? this.made)?.address ?? "an elastic address";
  }

  private get allocationId(): string {
    return (this.existing ?? this.made)!.allocationId;
  }

  override check(scope: Construct, machines: readonly Machine[]): void {
    super.check(scope, machines);
    const own = machines.find(({ aws }) => aws!.hasPublicAddress);
    if (!own) return;
    refuse(scope, {
      code: "virtual-ip-mode",
      what: `${own.name} has a public address of its own, in the place where the elastic virtual IP would be`,
      allowed: "nodes without 'publicAddresses': a private address has one public address at a time",
      fix: "a platform without 'publicAddresses' for these nodes, reached by a bastion; see docs/aws.md",
    });
  }

  override prepare(scope: Construct, machines: readonly Machine[]): void {
    const platform = machines[0]!.platform as { tags?: Record<string, string> };
    // No association by Terraform: keepalived makes a new one at each move, and Terraform would want its own back.
    if (!this.existing) {
      const eip = new Eip(scope, "elastic-address", {
        domain: "vpc",
        tags: { ...platform.tags },
        provider: machines[0]!.aws!.provider,
      });
      this.made = { allocationId: eip.allocationId, address: eip.publicIp };
    }
    for (const { aws } of machines) {
      aws!.grant({
        actions: ["ec2:AssociateAddress"],
        resources: [aws!.arn("ec2", `elastic-ip/${this.allocationId}`), aws!.interfaceArn],
      });
    }
  }

  on(machine: Machine): AddressOnMachine {
    const { interfaceId } = machine.aws!;
    return {
      claim: this.claim("elastic.sh", {
        ALLOCATION: this.allocationId,
        INTERFACE: interfaceId,
        ADDRESS: this.address,
      }),
    };
  }
}

/** A second private address of whichever interface is alive: within one subnet, so within one zone. */
export class SecondaryPrivateAddress extends AwsAddress {
  readonly mode = "secondaryPrivateIp";
  readonly address: string;

  constructor(
    address: string,
    private readonly reserve: boolean,
  ) {
    super();
    if (!isToken(address) && (!isIp(address) || isIpv6(address))) {
      refuse("VirtualIp.secondaryPrivateIp", {
        code: "bad-address",
        what: `'${address}'`,
        allowed: "a free IPv4 address of the nodes' subnet, without a prefix length",
        fix: "write it like 10.1.0.90",
      });
    }
    this.address = isToken(address) ? address : canonicalIp(address);
  }

  override check(scope: Construct, machines: readonly Machine[]): void {
    super.check(scope, machines);
    const subnets = new Set(machines.map(({ aws }) => aws!.subnetId));
    if (subnets.size > 1) {
      refuse(scope, {
        code: "virtual-ip-mode",
        what: `a secondary private address between ${subnets.size} subnets`,
        allowed: "nodes in one subnet: an address belongs to the subnet whose network it is of",
        fix: "VirtualIp.elastic() or VirtualIp.routeTable(...) between zones; or put the nodes into one zone",
      });
    }
    if (isToken(this.address)) return;
    this.refuseMachines(scope, machines);
    const { subnet } = machines[0]!;
    if (subnet === undefined || isToken(subnet)) return;
    if (contains(subnet, this.address)) {
      refuseReserved(scope, "the virtual IP", this.address, subnet);
      return;
    }
    refuse(scope, {
      code: "virtual-ip-outside-subnet",
      what: `the virtual IP ${this.address} is outside ${subnet}, the nodes' subnet`,
      allowed: `a free address of ${subnet}`,
      fix: "choose one",
    });
  }

  override prepare(scope: Construct, machines: readonly Machine[]): void {
    const reservation = this.reserve
      ? new Ec2SubnetCidrReservation(scope, `reservation-${this.address.replace(/\W/g, "-")}`, {
          subnetId: machines[0]!.aws!.subnetId,
          cidrBlock: `${this.address}/32`,
          reservationType: "explicit",
          description: "virtual IP: managed by cdktf-ha-clusters",
          provider: machines[0]!.aws!.provider,
        })
      : undefined;
    const isHere = TerraformStack.of(machines[0]!) === TerraformStack.of(scope); // else the machines were there before
    for (const { aws } of machines) {
      aws!.expectSecondaryAddress(isHere ? reservation : undefined);
      aws!.grant({ actions: ["ec2:AssignPrivateIpAddresses"], resources: [aws!.interfaceArn] });
    }
  }

  on(machine: Machine): AddressOnMachine {
    return {
      cidr: `${this.address}/32`,
      claim: this.claim("secondary-private-ip.sh", {
        INTERFACE: machine.aws!.interfaceId,
        ADDRESS: this.address,
      }),
    };
  }
}

/** Who has the route to an address, by table and address, in the whole app. */
const routed = new WeakMap<IConstruct, Map<string, string>>();

/** A table has one route to an address: a second one would fail at apply, when the first half is made. */
function refuseRouted(scope: Construct, table: string, address: string): void {
  const app = scope.node.root;
  const routes = routed.get(app) ?? new Map<string, string>();
  routed.set(app, routes);
  const owner = routes.get(`${table} ${address}`);
  if (owner !== undefined) {
    refuse(scope, {
      code: "virtual-ip-taken",
      what: `the route table '${table}' leads ${address} to ${owner} already`,
      allowed: "one construct for one address of a table",
      fix: "choose another address",
    });
  }
  routes.set(`${table} ${address}`, scope.node.path);
}

/** An address outside of the VPC's network, to which route tables lead: across zones, and inside the VPC only. */
export class RoutedAddress extends AwsAddress {
  readonly mode = "routeTable";
  readonly address: string;

  constructor(
    address: string,
    private readonly routeTableIds: readonly string[],
  ) {
    super();
    if (!isToken(address) && (!isIp(address) || isIpv6(address))) {
      refuse("VirtualIp.routeTable", {
        code: "bad-address",
        what: `'${address}'`,
        allowed: "an IPv4 address outside of the VPC's network, without a prefix length",
        fix: "write it like 192.168.90.1",
      });
    }
    if (!routeTableIds.length) {
      refuse("VirtualIp.routeTable", {
        code: "conflicting-setting",
        what: "no route tables",
        allowed: "the table of every subnet from which the address is to be reached",
        fix: "VirtualIp.routeTable(address, { routeTableIds: [...] })",
      });
    }
    const twice = routeTableIds.find((id, index) => routeTableIds.indexOf(id) !== index);
    if (twice !== undefined) {
      refuse("VirtualIp.routeTable", {
        code: "duplicate-name",
        what: `'routeTableIds' has '${twice}' twice`,
        allowed: "each table once: it has one route to the address",
        fix: "leave one of them out",
      });
    }
    this.address = isToken(address) ? address : canonicalIp(address);
  }

  override prepare(scope: Construct, machines: readonly Machine[]): void {
    const first: AwsMachine = machines[0]!.aws!;
    first.expectOutsideVpc(this.address);
    this.routeTableIds.forEach((routeTableId, index) => {
      refuseRouted(scope, routeTableId, this.address);
      new Route(scope, `route-${this.address.replace(/\W/g, "-")}-${index + 1}`, {
        routeTableId,
        destinationCidrBlock: `${this.address}/32`,
        networkInterfaceId: first.interfaceId,
        // keepalived leads it to whoever is alive; the next apply must not lead it back to the dead
        lifecycle: { ignoreChanges: ["network_interface_id"] },
        provider: machines[0]!.aws!.provider,
      });
    });
    for (const { aws } of machines) {
      aws!.acceptForeignAddresses();
      aws!.grant({
        actions: ["ec2:ReplaceRoute"],
        resources: this.routeTableIds.map((id) => aws!.arn("ec2", `route-table/${id}`)),
      });
      // Describe calls know no resources
      aws!.grant({ actions: ["ec2:DescribeRouteTables"], resources: ["*"] });
    }
  }

  on(machine: Machine): AddressOnMachine {
    return {
      cidr: `${this.address}/32`,
      claim: this.claim("route-table.sh", {
        TABLES: this.routeTableIds.join(" "),
        INTERFACE: machine.aws!.interfaceId,
        ADDRESS: this.address,
      }),
    };
  }
}
