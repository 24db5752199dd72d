import { createHash } from "node:crypto";
import { join } from "node:path";
import { Construct } from "constructs";
import type { Connections } from "../firewall/connections";
import { Port } from "../firewall/port";
import type { Machine } from "../platform/machine";
import { refuse } from "../problem";
import { Fact, type Service, type ServiceDescription, type ServiceFile } from "../push/service";
import { scriptText } from "../script-text";
import type { VirtualIp } from "../virtual-ip/virtual-ip";
import {
  NOTIFY_SCRIPT,
  renderKeepalivedConf,
  SCRIPT_USER,
  STATE_DIRECTORY,
  type VrrpInstance,
  type VrrpScript,
} from "./keepalived-conf";

/** Addresses that move together, and when they do. */
export interface VirtualIpGroup {
  readonly addresses: readonly VirtualIp[];
  /** Name of the node that serves when all are there from the beginning. @default - the first node */
  readonly preferredNode?: string;
  /**
   * Does the preferred node take the addresses back when it returns?
   * @default false - each move costs a gap; who serves well goes on serving
   */
  readonly preempt?: boolean;
  /** Seconds a returned node waits before it takes them back, for its services to be ready. @default 5 */
  readonly preemptDelay?: number;
  /**
   * Seconds between adverts. A node that loses power is missed after three of them and a skew of at most a tenth of one:
   * 0.2 s gives 0.62 s; 1 s gives 3.1 s.
   * @default 0.2 on a plain network; 0.3 where an address moves by a cloud's API
   */
  readonly advertInterval?: number;
  /** 1 to 255, unique on a segment. @default - from the construct's path, so it never changes */
  readonly virtualRouterId?: number;
}

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
  /** Version of the package. @default - the one of the machine's sources */
  readonly packageVersion?: string;
}

const ON_MACHINE = join(__dirname, "on-machine");
const HOOKS = join(__dirname, "..", "virtual-ip", "hooks");

const CLAIM_SERVICE = `[Unit]
Description=Claim virtual IPs again where this node is master
ConditionPathExistsGlob=${STATE_DIRECTORY}/*

[Service]
Type=oneshot
User=${SCRIPT_USER}
ExecStart=/usr/local/lib/cdktf-ha/vrrp-claim --verify
TimeoutStartSec=120
`;

const CLAIM_TIMER = `[Unit]
Description=Claim virtual IPs again where this node is master

[Timer]
OnActiveSec=10
OnUnitInactiveSec=10
AccuracySec=1

[Install]
WantedBy=timers.target
`;

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
    for (const [name, group] of Object.entries(props.groups)) this.checkGroup(name, group);
    this.ids = new Map(
      Object.entries(props.groups).map(([name, group]) => [name, this.virtualRouterId(name, group)]),
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
    const units = this.props.units ?? [];
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
      scripts: this.props.scripts ?? [],
    });
    const addresses = instances.flatMap(({ addresses: own, furtherAddresses }) => [
      ...own,
      ...furtherAddresses,
    ]);
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
        ...(claims.length
          ? [
              { name: "awscli", unlessCommand: "aws" },
              { name: "curl", unlessCommand: "curl" },
            ]
          : []),
      ],
      users: [{ name: SCRIPT_USER }],
      files: [
        { path: "/etc/keepalived/keepalived.conf", text: conf },
        {
          path: "/etc/keepalived/cdktf-ha-addresses",
          text: addresses.map((address) => `${address} ${Fact.INTERFACE}\n`).join(""),
          onChange: "none",
        },
        {
          path: "/etc/keepalived/cdktf-ha-instances",
          text: instances.map(({ name }) => `${name}\n`).join(""),
          onChange: "none",
        },
        {
          path: "/etc/keepalived/cdktf-ha-units",
          text: units.map((unit) => `${unit}\n`).join(""),
          onChange: "none",
        },
        {
          path: "/etc/systemd/system/keepalived.service.d/50-cdktf-ha.conf",
          text: DROP_IN,
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
      // HAProxy and others bind an address that this node may not hold yet.
      sysctls: { "net.ipv4.ip_nonlocal_bind": 1, "net.ipv6.ip_nonlocal_bind": 1 },
      units: ["keepalived.service", ...(claims.length ? ["cdktf-ha-vrrp-claim.timer"] : [])],
      hooks: {
        check: scriptText(join(ON_MACHINE, "check.sh")),
        healthy: scriptText(join(ON_MACHINE, "healthy.sh")),
        active: this.activeHook,
      },
      checker: "keepalived --config-test",
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
      advertInterval:
        group.advertInterval ?? Math.max(...group.addresses.map(({ advertInterval }) => advertInterval)),
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

  private checkGroup(name: string, group: VirtualIpGroup): void {
    const outOfRange = (
      setting: string,
      value: number | undefined,
      low: number,
      high: number,
      why: string,
    ): void => {
      if (value === undefined || (value >= low && value <= high)) return;
      refuse(this, {
        code: "number-out-of-range",
        what: `'${setting}' of the virtual IP group '${name}' is ${value}`,
        allowed: `${low} to ${high}: ${why}`,
        fix: "leave it out for the default",
      });
    };
    if (!/^[A-Za-z0-9_-]{1,30}$/.test(name)) {
      refuse(this, {
        code: "bad-name",
        what: `virtual IP group '${name}'`,
        allowed: "letters, digits, dash and underscore, at most 30: it becomes the name of a VRRP instance",
        fix: "choose such a name",
      });
    }
    outOfRange(
      "advertInterval",
      group.advertInterval,
      0.05,
      40,
      "VRRP counts hundredths of a second in twelve bits",
    );
    outOfRange("preemptDelay", group.preemptDelay, 0, 1000, "keepalived's own limit");
    outOfRange("virtualRouterId", group.virtualRouterId, 1, 255, "one byte of the advert");
    if (!group.addresses.length) {
      refuse(this, {
        code: "empty-rollout",
        what: `the virtual IP group '${name}' has no address`,
        allowed: "one address at least",
        fix: "give it a VirtualIp, or leave the group out",
      });
    }
    if (
      group.preferredNode !== undefined &&
      !this.props.machines.some((machine) => machine.name === group.preferredNode)
    ) {
      refuse(this, {
        code: "unknown-host",
        what: `'preferredNode' of '${name}' is '${group.preferredNode}'`,
        allowed: this.props.machines.map((machine) => machine.name).join(", "),
        fix: "name one of the nodes",
      });
    }
  }

  private virtualRouterId(name: string, { virtualRouterId, addresses }: VirtualIpGroup): number {
    const path = `${this.node.path}/${name}`;
    const id = virtualRouterId ?? 1 + (createHash("sha256").update(path).digest().readUInt32BE(0) % 255);
    const { platform } = this.props.machines[0]!;
    const segment = Segment.of(platform);
    const other = segment.ids.get(id);
    if (other !== undefined) {
      refuse(this, {
        code: "virtual-router-id-clash",
        what: `'${name}' has the virtual router id ${id}${virtualRouterId === undefined ? ", made of its path" : ""}; so has ${other}`,
        allowed: "one id for one group of a segment",
        fix: `virtualRouterId: ${[...Array(255).keys()].map((n) => n + 1).find((n) => !segment.ids.has(n))}`,
      });
    }
    segment.ids.set(id, path);
    for (const { address } of addresses) {
      const owner = segment.addresses.get(address);
      if (owner !== undefined) {
        refuse(this, {
          code: "virtual-ip-taken",
          what: `the virtual IP ${address} of '${name}' belongs to ${owner} already`,
          allowed: "an address in one group only",
          fix: "choose another one",
        });
      }
      segment.addresses.set(address, path);
    }
    return id;
  }
}

/** What is taken on a platform's networks. */
class Segment {
  private static readonly all = new WeakMap<object, Segment>();

  static of(platform: object): Segment {
    let segment = this.all.get(platform);
    if (!segment) this.all.set(platform, (segment = new Segment()));
    return segment;
  }

  readonly ids = new Map<number, string>();
  readonly addresses = new Map<string, string>();
}

/**
 * A keepalived that died comes back at once, without the addresses it held: killed, it would leave them behind. And it is
 * never given up on, as systemd does after five starts in ten seconds.
 */
const DROP_IN = `[Unit]
StartLimitIntervalSec=0

[Service]
Restart=always
RestartSec=200ms
KillMode=control-group
ExecStartPre=/usr/local/lib/cdktf-ha/vrrp-unit refresh
ExecReload=-/usr/local/lib/cdktf-ha/vrrp-unit refresh
ExecStartPre=/usr/bin/install --directory --owner=${SCRIPT_USER} ${STATE_DIRECTORY}
ExecStopPost=/usr/local/lib/cdktf-ha/vrrp-release
`;

function unitDropIn(unit: string): string {
  return `[Service]
ExecStartPost=-/usr/local/lib/cdktf-ha/vrrp-unit ${unit} 0
ExecStopPost=-/usr/local/lib/cdktf-ha/vrrp-unit ${unit} 1
`;
}
