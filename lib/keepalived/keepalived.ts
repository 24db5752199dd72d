import { join } from "node:path";
import { Construct } from "constructs";
import type { Connections } from "../firewall/connections";
import { Port } from "../firewall/port";
import type { Machine } from "../platform/machine";
import {
  Fact,
  type Service,
  type ServiceDescription,
  type ServiceFile,
  type ServicePackage,
} from "../push/service";
import { scriptText } from "../script-text";
import { AWS_PACKAGES } from "../virtual-ip/aws-program";
import {
  markerOf,
  NOTIFY_SCRIPT,
  renderKeepalivedConf,
  SCRIPT_USER,
  type VrrpInstance,
  type VrrpScript,
} from "./keepalived-conf";
import { takeVirtualRouterId } from "./segment";
import { CLAIM_SERVICE, CLAIM_TIMER, KEEPALIVED_DROP_IN, unitDropIn } from "./units";
import { advertIntervalOf, checkGroup, type VirtualIpGroup } from "./virtual-ip-group";

export interface KeepalivedProps {
  readonly machines: readonly Machine[];
  /** By a name of the group. Groups with different preferred nodes make all nodes active. */
  readonly groups: Readonly<Record<string, VirtualIpGroup>>;
  readonly connections: Connections;
  /**
   * systemd units without which a node must not serve. systemd tells keepalived of their end, which takes some ten
   * milliseconds, and works in containers too.
   * @default none
   */
  readonly units?: readonly string[];
  /**
   * Names of processes without which a node must not serve, for what systemd does not run. Needs the kernel's process
   * events, which containers do not get.
   * @default none
   */
  readonly processes?: readonly string[];
  /** Scripts that find a process that is there but does not answer. @default none */
  readonly scripts?: readonly VrrpScript[];
  /**
   * What says which node is to have the addresses, where something else than VRRP decides it: where it fails a node is in FAULT, and well.
   * @default - whoever is alive may have them
   */
  readonly follows?: (machine: Machine) => FollowedScript;
  /** Version of the package. @default - the one of the machine's sources */
  readonly packageVersion?: string;
}

export interface FollowedScript extends VrrpScript {
  /** Its program. */
  readonly files: readonly ServiceFile[];
  /** What it needs. */
  readonly packages: readonly ServicePackage[];
}

/** HAProxy and others bind an address that their node may not hold yet. */
export const NONLOCAL_BIND = { "net.ipv4.ip_nonlocal_bind": 1, "net.ipv6.ip_nonlocal_bind": 1 };

const ON_MACHINE = join(__dirname, "on-machine");
const HOOKS = join(__dirname, "..", "virtual-ip", "hooks");

/** Adverts between nodes, by unicast: no cloud and few switches carry multicast. One per machine, for all its groups. */
export class Keepalived extends Construct implements Service {
  readonly name = "keepalived";
  private readonly ids: ReadonlyMap<string, number>;

  constructor(
    scope: Construct,
    id: string,
    private readonly props: KeepalivedProps,
  ) {
    super(scope, id);
    for (const [name, group] of Object.entries(props.groups)) checkGroup(this, name, group, props.machines);
    this.ids = new Map(
      Object.entries(props.groups).map(([name, group]) => [
        name,
        takeVirtualRouterId(this, name, group, props.machines),
      ]),
    );
    for (const { addresses } of Object.values(props.groups)) {
      for (const address of addresses) {
        address.check(this, props.machines);
        address.prepare(this, props.machines);
      }
    }
    props.connections.allowInternally(Port.vrrp());
  }

  /** The groups' ids on the segment, by group. */
  get virtualRouterIds(): ReadonlyMap<string, number> {
    return this.ids;
  }

  /** Tells whether this node holds any of the addresses; for the services that the addresses are there for. */
  get activeHook(): string {
    return scriptText(join(ON_MACHINE, "active.sh"));
  }

  describe(machine: Machine): ServiceDescription {
    const { units = [] } = this.props;
    const follows = this.props.follows?.(machine);
    const instances = Object.entries(this.props.groups).map(([name, group]) =>
      this.instance(machine, name, group),
    );
    const conf = renderKeepalivedConf({
      node: machine.name,
      interface: Fact.INTERFACE,
      sourceAddress: machine.privateAddress,
      peerAddresses: this.props.machines
        .filter((other) => other !== machine)
        .map(({ privateAddress }) => privateAddress),
      instances,
      units,
      processes: this.props.processes ?? [],
      scripts: [...(this.props.scripts ?? []), ...(follows ? [follows] : [])],
    });
    const addresses = instances.flatMap((instance) => {
      const own = [...instance.addresses, ...instance.furtherAddresses];
      return own.length
        ? own.map((address) => `${address} ${Fact.INTERFACE}\n`)
        : [`${markerOf(instance)} lo\n`];
    });
    const script = (path: string, file: string): ServiceFile => ({
      path,
      text: scriptText(join(ON_MACHINE, file)),
      mode: "0755",
      onChange: "none",
    });
    const claims = this.claims(machine);
    return {
      packages: [
        { name: "keepalived", version: this.props.packageVersion },
        ...(follows?.packages ?? []),
        ...(claims.length ? AWS_PACKAGES : []),
      ],
      users: [{ name: SCRIPT_USER }],
      files: [
        { path: "/etc/keepalived/keepalived.conf", text: conf },
        {
          path: "/etc/keepalived/cdktf-ha-addresses",
          text: addresses.join(""),
          onChange: "none",
        },
        {
          path: "/etc/keepalived/cdktf-ha-instances",
          text: instances.map(({ name }) => `${name}\n`).join(""),
          onChange: "none",
        },
        ...(follows
          ? [
              ...follows.files,
              {
                path: "/etc/keepalived/cdktf-ha-follows",
                text: `${follows.command}\n`,
                onChange: "none" as const,
              },
            ]
          : []),
        {
          path: "/etc/keepalived/cdktf-ha-units",
          text: units.map((unit) => `${unit}\n`).join(""),
          onChange: "none",
        },
        {
          path: "/etc/systemd/system/keepalived.service.d/50-cdktf-ha.conf",
          text: KEEPALIVED_DROP_IN,
          onChange: "restart",
        },
        ...units.map((unit): ServiceFile => ({
          path: `/etc/systemd/system/${unit}.d/60-cdktf-ha-vrrp.conf`,
          text: unitDropIn(unit),
          onChange: "none",
        })),
        script("/usr/local/lib/cdktf-ha/vrrp-unit", "vrrp-unit.sh"),
        script(NOTIFY_SCRIPT, "vrrp-notify.sh"),
        ...claims,
        script("/usr/local/lib/cdktf-ha/vrrp-release", "vrrp-release.sh"),
      ],
      sysctls: NONLOCAL_BIND,
      units: ["keepalived.service", ...(claims.length ? ["cdktf-ha-vrrp-claim.timer"] : [])],
      hooks: {
        check: scriptText(join(ON_MACHINE, "check.sh")),
        healthy: scriptText(join(ON_MACHINE, "healthy.sh")),
        active: this.activeHook,
      },
      checker: "keepalived --config-test",
      // A right that was just given works everywhere at AWS after a minute or so.
      healthyWithin: claims.length ? 90 : undefined,
    };
  }

  /** Programs that tell a cloud's API, and what runs them again. */
  private claims(machine: Machine): ServiceFile[] {
    const claims = Object.entries(this.props.groups).flatMap(([name, { addresses }]) =>
      addresses.flatMap((address, index): ServiceFile[] => {
        const { claim } = address.on(machine);
        if (claim === undefined) return [];
        const path = `/usr/local/lib/cdktf-ha/vrrp-claims/${name}.${index + 1}`;
        return [{ path, text: claim, mode: "0755", onChange: "none" }];
      }),
    );
    if (!claims.length) return [];
    return [
      ...claims,
      {
        path: "/usr/local/lib/cdktf-ha/vrrp-claim",
        text: scriptText(join(HOOKS, "vrrp-claim.sh")),
        mode: "0755",
        onChange: "none",
      },
      { path: "/etc/systemd/system/cdktf-ha-vrrp-claim.service", text: CLAIM_SERVICE, onChange: "none" },
      { path: "/etc/systemd/system/cdktf-ha-vrrp-claim.timer", text: CLAIM_TIMER, onChange: "restart" },
    ];
  }

  private instance(machine: Machine, name: string, group: VirtualIpGroup): VrrpInstance {
    const cidrs = group.addresses.flatMap((address) => {
      const { cidr } = address.on(machine);
      return cidr === undefined ? [] : [{ ipv6: address.isIpv6, cidr }];
    });
    const firstFamily = cidrs[0]?.ipv6;
    return {
      name,
      virtualRouterId: this.ids.get(name)!,
      priority: this.priority(machine, group),
      advertInterval: advertIntervalOf(group),
      preempt: group.preempt ?? false,
      preemptDelay: group.preemptDelay ?? 5,
      addresses: cidrs.filter(({ ipv6 }) => ipv6 === firstFamily).map(({ cidr }) => cidr),
      furtherAddresses: cidrs.filter(({ ipv6 }) => ipv6 !== firstFamily).map(({ cidr }) => cidr),
    };
  }

  /** The preferred node 250, the others 20 lower each: never equal, or two nodes would win one election. */
  private priority(machine: Machine, { preferredNode }: VirtualIpGroup): number {
    const order = [...this.props.machines].sort(
      (a, b) => Number(b.name === preferredNode) - Number(a.name === preferredNode),
    );
    return Math.max(1, 250 - 20 * order.indexOf(machine));
  }
}
