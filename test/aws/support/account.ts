import type { Cloud } from "../../../machines/aws/cloud";

type Item = Readonly<Record<string, unknown>>;

/** What there is in the emulated account. */
export class Account {
  constructor(private readonly cloud: Cloud) {}

  /** One kind of thing of EC2: `network_interfaces`. */
  async all<T = Item>(kind: string, parameters: object = {}): Promise<T[]> {
    const answer = await this.cloud.call<Record<string, T[]>>("ec2", `describe_${kind}`, parameters);
    const [items] = Object.values(answer).filter((value) => Array.isArray(value));
    return items!;
  }

  /** Living instances by their name. */
  async instances(): Promise<Record<string, Instance>> {
    const reservations = await this.all<{ Instances: Instance[] }>("instances");
    const living = reservations
      .flatMap(({ Instances }) => Instances)
      .filter(({ State }) => State.Name !== "terminated");
    return Object.fromEntries(living.map((instance) => [nameOf(instance), instance]));
  }

  /** How many there are of everything a stack makes. */
  async counts(): Promise<Record<string, number>> {
    const kinds = [
      "network_interfaces",
      "addresses",
      "security_groups",
      "security_group_rules",
      "volumes",
      "snapshots",
      "key_pairs",
      "placement_groups",
      "vpcs",
      "subnets",
      "route_tables",
    ];
    const counts: [string, number][] = [["instances", Object.keys(await this.instances()).length]];
    for (const kind of kinds)
      counts.push([kind, (await this.all(kind, kind === "snapshots" ? { OwnerIds: ["self"] } : {})).length]);
    for (const kind of ["roles", "instance_profiles"]) {
      const answer = await this.cloud.call<Record<string, Item[]>>("iam", `list_${kind}`);
      counts.push([kind, Object.values(answer).find((value) => Array.isArray(value))!.length]);
    }
    return Object.fromEntries(counts);
  }

  /** Inbound rules as words: `lb: tcp 80-80 from 10.77.1.1/32`. */
  async inboundRules(): Promise<string[]> {
    const groups = await this.all<{ GroupId: string; GroupName: string }>("security_groups");
    const name = (id: string): string =>
      groups.find(({ GroupId }) => GroupId === id)!.GroupName.replace(/^stack-/, "");
    const rules = await this.all<GroupRule>("security_group_rules");
    return rules
      .filter(({ IsEgress }) => !IsEgress)
      .filter(({ GroupId }) => name(GroupId) !== "default")
      .map(({ GroupId, IpProtocol, FromPort, ToPort, CidrIpv4, CidrIpv6, ReferencedGroupInfo }) => {
        const ports = FromPort === undefined || FromPort < 0 ? "" : ` ${FromPort}-${ToPort}`;
        const source = CidrIpv4 ?? CidrIpv6 ?? name(ReferencedGroupInfo!.GroupId);
        return `${name(GroupId)}: ${IpProtocol}${ports} from ${source}`;
      })
      .sort();
  }

  /** Name of the instance that holds an elastic address, a route and a secondary address; all of them, if several do. */
  async holders(what: {
    readonly elastic?: string;
    readonly route?: string;
    readonly secondary?: string;
  }): Promise<string[]> {
    const interfaces = await this.all<Interface>("network_interfaces");
    const holds = new Set<string>();
    if (what.elastic !== undefined) {
      const [address] = await this.all<{ NetworkInterfaceId?: string }>("addresses", {
        PublicIps: [what.elastic],
      });
      holds.add(address?.NetworkInterfaceId ?? "nobody");
    }
    if (what.route !== undefined) {
      const tables = await this.all<{
        Routes: { DestinationCidrBlock?: string; NetworkInterfaceId?: string }[];
      }>("route_tables");
      for (const route of tables.flatMap(({ Routes }) => Routes))
        if (route.DestinationCidrBlock === `${what.route}/32`)
          holds.add(route.NetworkInterfaceId ?? "nobody");
    }
    if (what.secondary !== undefined) {
      for (const { NetworkInterfaceId, PrivateIpAddresses } of interfaces)
        if (PrivateIpAddresses.some(({ PrivateIpAddress }) => PrivateIpAddress === what.secondary))
          holds.add(NetworkInterfaceId);
    }
    const name = (id: string): string => {
      const found = interfaces.find(({ NetworkInterfaceId }) => NetworkInterfaceId === id);
      return found ? nameOf({ Tags: found.TagSet }) : id;
    };
    return [...holds].map(name).sort();
  }
}

export interface Instance {
  readonly InstanceId: string;
  readonly InstanceType: string;
  readonly ImageId: string;
  readonly PrivateIpAddress: string;
  readonly PublicIpAddress?: string;
  readonly State: { readonly Name: string };
  readonly Tags: readonly Tag[];
  readonly MetadataOptions: Readonly<Record<string, unknown>>;
}

interface Tag {
  readonly Key: string;
  readonly Value: string;
}

interface Interface {
  readonly NetworkInterfaceId: string;
  readonly PrivateIpAddresses: readonly { readonly PrivateIpAddress: string }[];
  readonly TagSet: readonly Tag[];
}

interface GroupRule {
  readonly GroupId: string;
  readonly IsEgress: boolean;
  readonly IpProtocol: string;
  readonly FromPort?: number;
  readonly ToPort?: number;
  readonly CidrIpv4?: string;
  readonly CidrIpv6?: string;
  readonly ReferencedGroupInfo?: { readonly GroupId: string };
}

export function nameOf({ Tags }: { readonly Tags: readonly Tag[] }): string {
  return Tags.find(({ Key }) => Key === "Name")?.Value ?? "";
}
