import { Construct } from "constructs";
import type { Peer } from "../firewall/peer";
import type { Rule } from "../firewall/rule-set";
import { checkProps } from "../input/guard";
import { canonicalIp, isIp, parseNetwork } from "../net";
import { checkSeconds, isToken, refuse, refuseToken, warn } from "../problem";
import { carrierOf, type Carrier } from "../push/carrier";
import { Machine } from "./machine";
import { Members } from "./members";
import { outgoingRules, type Outgoing } from "./outgoing";
import type { NodeProps, Platform } from "./platform";
import { checkHost, checkPublicKey, checkSshAccess, connectionTo, type SshAccess } from "./ssh-access";

export interface SshHost {
  /** Private address: where the machine's peers reach it, and Terraform too unless `ssh` says otherwise. */
  readonly address: string;
  /**
   * Network of that address, `10.0.1.0/24`, or its prefix length written into `address` (`10.0.1.66/24`).
   * @default - unknown: a virtual IP cannot be checked against it
   */
  readonly subnet?: string;
  /** Change it when the machine was installed anew: everything is pushed again. @default - none */
  readonly generation?: string;
  /** What fails together with this host: a rack, a room, a hypervisor. @default - unknown */
  readonly zone?: string;
  /** Where this host differs from the platform: user, port, key. */
  readonly ssh?: Partial<SshAccess> & {
    /** @default - `address` */
    readonly host?: string;
    /** Public host key, as in known_hosts: another machine at the address is then refused. @default - not checked */
    readonly hostKey?: string;
  };
}

export interface SshPlatformProps {
  /** Every host that may be used, by name. */
  readonly hosts: Readonly<Record<string, SshHost>>;
  readonly ssh: SshAccess;
  /** Who may connect by SSH: the computers that run Terraform among them, as the machines see their addresses. */
  readonly admins: readonly Peer[];
  /** Where machines may connect to by themselves. @default Outgoing.anywhere() */
  readonly outgoing?: Outgoing;
  /**
   * A firewall on each machine, in an nftables table of its own.
   * @default true - a port that a daemon opens is otherwise open to everybody
   */
  readonly hostFirewall?: boolean;
  /**
   * Seconds in which Terraform must confirm a change of a machine's firewall over a new connection; else it goes back.
   * @default 60 - a busy machine behind a bastion needs some seconds for a new connection
   */
  readonly firewallConfirmWithin?: number;
  /** @default - the context value `cdktf-ha-clusters:carrier`, else null_resource */
  readonly carrier?: Carrier;
}

/** Machines that exist already: bare metal, VMware, another cloud, containers of a test. */
export class SshPlatform extends Construct implements Platform {
  readonly placesByHost = true;
  readonly zones: readonly string[];
  readonly admins: readonly Peer[];
  readonly outgoing: readonly Rule[] | undefined;
  readonly hostFirewall: boolean;
  readonly firewallConfirmWithin: number;
  readonly carrier: Carrier;
  private readonly machines = new Map<string, Machine>();
  /** Hosts by address. */
  private readonly names = new Map<string, string>();

  constructor(
    scope: Construct,
    id: string,
    private readonly props: SshPlatformProps,
  ) {
    super(scope, id);
    checkProps(this, "SshPlatformProps", props);
    checkSshAccess(this, props.ssh);
    if (!props.admins.length) {
      refuse(this, {
        code: "no-admins",
        what: "'admins' is empty",
        allowed: "at least the network from which Terraform connects",
        fix: "admins: [Peer.cidr(...)]",
      });
    }
    this.admins = props.admins;
    this.outgoing = outgoingRules(props.outgoing);
    this.hostFirewall = props.hostFirewall ?? true;
    checkSeconds(this, "firewallConfirmWithin", props.firewallConfirmWithin);
    this.firewallConfirmWithin = props.firewallConfirmWithin ?? 60;
    this.carrier = carrierOf(this, props.carrier);
    if (!this.hostFirewall) {
      warn(this, {
        code: "no-host-firewall",
        what: "'hostFirewall' is false",
        allowed: "true, unless something else on the network admits exactly the declared parties",
        fix: "leave it out",
      });
    }
    for (const [name, host] of Object.entries(props.hosts)) this.checkHost(name, host);
    this.refuseSameAddress();
    this.zones = [
      ...new Set(Object.values(props.hosts).flatMap(({ zone }) => (zone === undefined ? [] : [zone]))),
    ];
    this.sayGoodbyeToMachinesThatLeave();
  }

  /** The host of this name. A second cluster may use it as well: its services and rules are added. */
  host(name: string): Machine {
    return this.hostFor(this, name);
  }

  private hostFor(asker: Construct, name: string): Machine {
    const known = this.machines.get(name);
    if (known) return known;
    const host = Object.hasOwn(this.props.hosts, name) ? this.props.hosts[name] : undefined;
    if (!host) {
      return refuse(asker, {
        code: "unknown-host",
        what: `'${this.node.path}' has no host '${name}'`,
        allowed: Object.keys(this.props.hosts).join(", "),
        fix: "name hosts of the platform in 'nodes', 'members' of a replica set (without it, nodes are called after their cluster: lb-1, lb-2) or, of NameServers, by the keys of 'servers'; or add it to 'hosts'",
      });
    }
    const [given = "", prefix] = host.address.split("/");
    const address = canonicalIp(given);
    const machine = new Machine(this, name, {
      name,
      platform: this,
      zone: host.zone,
      privateAddress: address,
      subnet: host.subnet ?? (prefix === undefined ? undefined : parseNetwork(host.address)?.cidr),
      connection: connectionTo(this.access(host), host.ssh?.host ?? address, host.ssh?.hostKey),
      identity: host.generation === undefined ? address : `${address} ${host.generation}`,
    });
    this.machines.set(name, machine);
    return machine;
  }

  holderOf(address: string): string | undefined {
    return this.names.get(canonicalIp(address));
  }

  machine(scope: Construct, name: string, { zone, instanceType, privateAddress }: NodeProps): Machine {
    const machine = this.hostFor(scope, name);
    if (zone !== undefined && zone !== machine.zone) {
      refuse(scope, {
        code: "unknown-zone",
        what: `node '${name}' is wanted in zone '${zone}', its host is in '${machine.zone ?? "no zone"}'`,
        allowed: "the host's own zone",
        fix: "leave 'zone' out, or correct it at the host",
      });
    }
    if (instanceType !== undefined || privateAddress !== undefined) {
      refuse(scope, {
        code: "conflicting-setting",
        what: `node '${name}' has an instance type or an address of its own`,
        allowed: "neither: the host exists already",
        fix: "leave them out",
      });
    }
    return machine;
  }

  private refuseSameAddress(): void {
    const { names } = this;
    for (const [name, { address }] of Object.entries(this.props.hosts)) {
      if (isToken(address)) continue;
      const key = canonicalIp(address.split("/")[0]!);
      const other = names.get(key);
      if (other !== undefined) {
        refuse(this, {
          code: "duplicate-address",
          what: `'hosts.${other}' and 'hosts.${name}' are both at ${key}`,
          allowed: "one name for one machine",
          fix: "correct an address, or let both clusters use one name: a machine can be a node of several",
        });
      }
      names.set(key, name);
    }
  }

  private access(host: SshHost): SshAccess {
    const { host: _host, hostKey: _hostKey, ...own } = host.ssh ?? {};
    const hasOwnKey = own.privateKey ?? own.privateKeyFile ?? own.agent;
    const { privateKey, privateKeyFile, agent, ...shared } = this.props.ssh;
    return hasOwnKey === undefined
      ? { ...shared, privateKey, privateKeyFile, agent, ...own }
      : { ...shared, ...own };
  }

  private checkHost(name: string, host: SshHost): void {
    refuseToken(this, `hosts.${name}.zone`, host.zone);
    const [address = ""] = host.address.split("/");
    if (
      !isToken(host.address) &&
      (!isIp(address) || (host.address.includes("/") && !parseNetwork(host.address)))
    ) {
      refuse(this, {
        code: "bad-address",
        what: `'hosts.${name}.address' is '${host.address}'`,
        allowed:
          "an IP address, with or without the prefix length of its network: it goes into firewalls and configs",
        fix: "resolve a host name to the address that peers use; 'ssh.host' may stay a name",
      });
    }
    if (host.subnet !== undefined && !isToken(host.subnet) && !parseNetwork(host.subnet)) {
      refuse(this, {
        code: "bad-cidr",
        what: `'hosts.${name}.subnet' is '${host.subnet}'`,
        allowed: "a network in CIDR notation",
        fix: "write it like 10.0.1.0/24",
      });
    }
    if (host.ssh?.host !== undefined) checkHost(this, `hosts.${name}.ssh.host`, host.ssh.host);
    checkPublicKey(this, `hosts.${name}.ssh.hostKey`, host.ssh?.hostKey);
    checkSshAccess(this, this.access(host));
  }

  /** A host that leaves the code is told so, and what it is told is done before the others change. */
  private sayGoodbyeToMachinesThatLeave(): void {
    if (this.props.ssh.privateKey) {
      warn(this, {
        code: "removal-needs-key",
        what: "'ssh.privateKey' is a variable",
        allowed: "privateKeyFile or agent, where a machine that leaves the code is to be cleaned up",
        fix: "load the key into an agent in CI; or run `cdktf-ha leave` on the machine before it leaves the code",
      });
    }
    new Members(this, () =>
      Object.fromEntries(
        [...this.machines].flatMap(([name, { connection, handovers }]) => {
          const access = this.access(this.props.hosts[name]!);
          // a key from a variable would stand in the state: told by the warning above
          return access.privateKey
            ? []
            : [[name, { connection, privateKeyFile: access.privateKeyFile, handovers }]];
        }),
      ),
    );
  }
}
