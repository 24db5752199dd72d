import { SecurityGroup } from "@cdktf/provider-aws/lib/security-group";
import { VpcSecurityGroupEgressRule } from "@cdktf/provider-aws/lib/vpc-security-group-egress-rule";
import { VpcSecurityGroupIngressRule } from "@cdktf/provider-aws/lib/vpc-security-group-ingress-rule";
import { TerraformStack, type ITerraformDependable, type TerraformProvider } from "cdktf";
import type { Construct } from "constructs";
import { isIpv6, parseNetwork } from "../net";
import { nameAtAws } from "../platform/aws/identity";
import { refuse } from "../problem";
import { Connections, singleNetwork, type Admission, type NetworkGate } from "./connections";
import type { Peer } from "./peer";
import type { Port } from "./port";
import type { Rule } from "./rule-set";

export interface SecurityGroupsProps {
  /** Name of the platform, for clusters that are on several. */
  readonly platform: string;
  /** @default - the stack's own */
  readonly provider?: TerraformProvider;
  readonly vpcId: string;
  readonly tags: Readonly<Record<string, string>>;
  /** Nothing means everywhere. */
  readonly outgoing: readonly Rule[] | undefined;
}

/**
 * AWS's gate: a security group for each group of machines, and a rule of its own for each admission. Rules within the
 * group (inline) would take away those that another stack added, and two groups that name each other would be a cycle.
 */
export class SecurityGroups implements NetworkGate {
  /** Ids: each asking of a resource for its id makes a token, with a stack trace that costs more than the resource. */
  private readonly groups = new Map<Connections, string>();
  private readonly ids = new Map<Construct, Set<string>>();
  private readonly rules = new Map<Connections, ITerraformDependable[]>();
  /** What sets ids apart from those of the cluster's first platform. */
  private readonly further = new Map<Construct, string>();
  /** Rules by group, direction and family of addresses, as AWS counts them. */
  private readonly counts = new Map<string, number>();

  constructor(private readonly props: SecurityGroupsProps) {}

  /** Id of the group that stands for these machines. */
  groupOf(connections: Connections): string {
    let group = this.groups.get(connections);
    if (group === undefined) {
      const { scope } = connections;
      // a cluster on several platforms has a group on each; the first one's keeps its name when the second is added
      const further = scope.node.tryFindChild("security-group") ? `-${this.props.platform}` : "";
      this.further.set(scope, further);
      const name = nameAtAws(scope, 255, further);
      if (/^sg-/i.test(name)) {
        refuse(scope, {
          code: "bad-name",
          what: `the security group would be called '${name}'`,
          allowed: "a stack whose name does not begin with 'sg-', as the ids of AWS's groups do",
          fix: "rename the stack",
        });
      }
      group = new SecurityGroup(scope, `security-group${further}`, {
        name,
        description: `${connections.name}: managed by cdktf-ha-clusters`,
        vpcId: this.props.vpcId,
        tags: { ...this.props.tags, Name: name },
        provider: this.props.provider,
      }).id;
      this.groups.set(connections, group);
      this.outgoing(connections, group);
    }
    return group;
  }

  /** Rules without which the machines of a group cannot work yet. */
  rulesOf(connections: Connections): readonly ITerraformDependable[] {
    return this.rules.get(connections) ?? [];
  }

  /** Groups with more rules than AWS takes, with their numbers: `lb: 61 rules from IPv4 addresses`. */
  beyond(limit: number): string[] {
    return [...this.counts].filter(([, count]) => count > limit).map(([what, count]) => `${what}: ${count}`);
  }

  admit(target: Connections, { peer, port, purpose }: Admission): void {
    const group = this.groupOf(target);
    // In the peer's stack if it has one of its own: it depends on the target's already, never the other way round.
    const scope = peer instanceof Connections ? ruleScope(target.scope, peer.scope) : target.scope;
    for (const source of this.sources(peer)) {
      const rule = new VpcSecurityGroupIngressRule(
        scope,
        this.id(scope, `from-${source.name}-${portId(port)}`),
        {
          securityGroupId: group,
          description: describe(purpose),
          ...protocolOf(port),
          ...source.config,
          tags: this.props.tags,
          provider: this.props.provider,
        },
      );
      // what the target's machines wait for cannot be in a stack that comes later
      const isLater = TerraformStack.of(scope) !== TerraformStack.of(target.scope);
      this.remember(isLater && peer instanceof Connections ? peer : target, rule);
      this.count(target, "inbound", source.config);
      if (peer instanceof Connections && this.props.outgoing) this.admitOut(scope, peer, group, target, port);
    }
  }

  /** With restricted outgoing traffic the other end needs a rule as well. */
  private admitOut(scope: Construct, peer: Connections, target: string, to: Connections, port: Port): void {
    if (!this.isMine(peer)) return;
    const destination = { referencedSecurityGroupId: target };
    const rule = new VpcSecurityGroupEgressRule(
      scope,
      this.id(scope, `to-${to.name}-${portId(port)}-of-${peer.name}`),
      {
        securityGroupId: this.groupOf(peer),
        ...destination,
        description: describe(`to ${to.name}`),
        ...protocolOf(port),
        tags: this.props.tags,
        provider: this.props.provider,
      },
    );
    this.remember(peer, rule);
    this.count(peer, "outbound", destination);
  }

  private outgoing(connections: Connections, group: string): void {
    const { outgoing, tags } = this.props;
    // Terraform takes AWS's own rule, which lets everything out, away.
    const rules: readonly Rule[] =
      outgoing ??
      ["0.0.0.0/0", "::/0"].map((network) => ({
        protocol: "tcp" as const,
        first: 0,
        last: 0,
        network,
        purpose: "outgoing traffic is not restricted",
      }));
    for (const { network, purpose, ...port } of rules) {
      const rule = new VpcSecurityGroupEgressRule(
        connections.scope,
        this.id(connections.scope, `out-${networkId(network)}-${port.protocol}-${port.first}`),
        {
          securityGroupId: group,
          description: describe(purpose),
          ...(outgoing ? protocolOf(port) : { ipProtocol: "-1" }),
          ...networkConfig(network),
          tags,
          provider: this.props.provider,
        },
      );
      this.remember(connections, rule);
      this.count(connections, "outbound", networkConfig(network));
    }
  }

  private sources(peer: Connections | Peer): { name: string; config: Record<string, string> }[] {
    if (!(peer instanceof Connections)) {
      return peer.cidrs.map((network, index) => ({
        name: parseNetwork(network) ? networkId(network) : `${index}`,
        config: networkConfig(network),
      }));
    }
    // Machines outside of this gate have no group here: one rule for each of their addresses.
    const outside = peer.machines.filter(({ platform }) => platform.gate !== this);
    return [
      ...(this.isMine(peer)
        ? [{ name: peer.name, config: { referencedSecurityGroupId: this.groupOf(peer) } }]
        : []),
      ...outside.map(({ name, privateAddress }) => ({
        name: `${peer.name}-${name}`,
        config: networkConfig(singleNetwork(privateAddress)),
      })),
    ];
  }

  private isMine(connections: Connections): boolean {
    return connections.machines.some(({ platform }) => platform.gate === this);
  }

  private remember(connections: Connections, rule: ITerraformDependable): void {
    this.rules.set(connections, [...(this.rules.get(connections) ?? []), rule]);
  }

  private count(connections: Connections, direction: "inbound" | "outbound", other: object): void {
    // A rule between groups counts for both families.
    for (const [family, key] of [
      ["IPv4", "cidrIpv6"],
      ["IPv6", "cidrIpv4"],
    ] as const) {
      if (key in other) continue;
      const what = `'${connections.scope.node.path}' ${direction} ${family}`;
      this.counts.set(what, (this.counts.get(what) ?? 0) + 1);
    }
  }

  /** Ids are readable, and every one is used once. */
  private id(scope: Construct, name: string): string {
    const wanted = `${name}${this.further.get(scope) ?? ""}`;
    let taken = this.ids.get(scope);
    if (!taken) this.ids.set(scope, (taken = new Set()));
    let id = wanted;
    for (let n = 2; taken.has(id) || scope.node.tryFindChild(id); n++) id = `${wanted}-${n}`;
    taken.add(id);
    return id;
  }
}

function ruleScope(target: Construct, peer: Construct): Construct {
  return TerraformStack.of(target) === TerraformStack.of(peer) ? target : peer;
}

function protocolOf({ protocol, first, last }: Pick<Port, "protocol" | "first" | "last">): {
  ipProtocol: string;
  fromPort?: number;
  toPort?: number;
} {
  if (protocol === "vrrp") return { ipProtocol: "112" };
  return { ipProtocol: protocol, fromPort: first, toPort: last };
}

function networkConfig(network: string): { cidrIpv6: string } | { cidrIpv4: string } {
  return isIpv6(network.split("/")[0]!) ? { cidrIpv6: network } : { cidrIpv4: network };
}

function networkId(network: string): string {
  return network.replace(/[^0-9a-f]+/gi, "-").replace(/^-|-$/g, "") || "any6";
}

function portId(port: Port): string {
  return port.toString().replace("/", "-");
}

/** AWS takes at most 255 characters, and not all of them. */
function describe(purpose: string): string {
  return purpose.replace(/[^A-Za-z0-9. _\-:/()#,@[\]+=&;{}!$*]/g, "-").slice(0, 255);
}
