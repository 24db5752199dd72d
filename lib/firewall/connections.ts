import type { Construct } from "constructs";
import { isIp, isIpv6 } from "../net";
import type { Machine } from "../platform/machine";
import { refuse, warnAtSynth, type Problem } from "../problem";
import { Peer } from "./peer";
import type { Port } from "./port";
import type { Rule } from "./rule-set";

/** Anything whose machines can be let in somewhere, or let others in. */
export interface Connectable {
  readonly connections: Connections;
}

/** Who may connect to whom: kept by each {@link Connections}, read by the firewalls of machines and platforms. */
export interface Admission {
  readonly peer: Connections | Peer;
  readonly port: Port;
  readonly purpose: string;
}

/** A platform's own gate in front of its machines (security groups on AWS). */
export interface NetworkGate {
  /** Called once for each admission; the gate makes its own rule of it. */
  admit(target: Connections, admission: Admission): void;
}

export interface ConnectionsProps {
  /** What it is called in rules and descriptions: `lb`, `web`. */
  readonly name: string;
  /** Ports by name, so that callers need no numbers. */
  readonly ports?: Record<string, Port>;
}

/**
 * The network side of a group of machines. Nothing is open that nobody asked for: a port opens by one of the `allow`
 * methods, for exactly the party it names, in the platform's gate and in each machine's own firewall.
 */
export class Connections {
  readonly name: string;
  private readonly named: Map<string, Port>;
  private readonly members: Machine[] = [];
  private readonly admissions: Admission[] = [];
  private readonly localhost: { port: Port; purpose: string }[] = [];
  private readonly targets: { target: Connections; port: Port }[] = [];

  constructor(
    readonly scope: Construct,
    props: ConnectionsProps,
  ) {
    this.name = props.name;
    this.named = new Map(Object.entries(props.ports ?? {}));
    warnAtSynth(scope, () => this.warnings());
  }

  get machines(): readonly Machine[] {
    return this.members;
  }

  get inbound(): readonly Admission[] {
    return this.admissions;
  }

  /** Where this group was let in. */
  get outbound(): readonly { target: Connections; port: Port }[] {
    return this.targets;
  }

  get localhostOnly(): readonly { port: Port; purpose: string }[] {
    return this.localhost;
  }

  addMachine(machine: Machine): void {
    if (this.members.includes(machine)) return;
    this.members.push(machine);
    machine.join(this);
  }

  /** Gives a port a name by which it can be opened. */
  addPort(name: string, port: Port): void {
    this.named.set(name, port);
  }

  /** Lets a cluster or a network in, to the named ports, or to all that have a name. */
  allowFrom(peer: Connectable | Connections | Peer, ...ports: readonly (Port | string)[]): void {
    for (const [port, purpose] of this.resolve(ports)) this.admit(asPeer(peer), port, purpose);
  }

  /** Lets the whole Internet in. */
  allowFromAnyone(...ports: readonly (Port | string)[]): void {
    this.allowFrom(Peer.anyone(), ...ports);
  }

  /** Lets the machines of this group connect to each other. */
  allowInternally(...ports: readonly (Port | string)[]): void {
    this.allowFrom(this, ...ports);
  }

  /** The port answers on the loopback interface only, whoever else may be let in by any other rule of the machine. */
  allowFromLocalhostOnly(port: Port, purpose: string): void {
    this.localhost.push({ port, purpose });
  }

  private admit(peer: Connections | Peer, port: Port, purpose: string): void {
    const same = (other: Admission): boolean =>
      other.port.toString() === port.toString() &&
      (other.peer === peer || networksOf(other.peer) === networksOf(peer));
    if (this.admissions.some(same)) return;
    const admission = {
      peer,
      port,
      purpose: `${purpose} from ${peer instanceof Connections ? peer.name : peer.description}`,
    };
    this.admissions.push(admission);
    if (peer instanceof Connections) peer.targets.push({ target: this, port });
    for (const gate of new Set(this.members.map(({ platform }) => platform.gate)))
      gate?.admit(this, admission);
  }

  private warnings(): Problem[] {
    const admitted = new Set(this.admissions.map(({ port }) => port.toString()));
    return [...this.named]
      .filter(([, port]) => !admitted.has(port.toString()))
      .map(([name, port]) => ({
        code: "nobody-admitted",
        what: `nobody may connect to '${name}' (${port.toString()})`,
        allowed: "those whom the code names",
        fix: `connections.allowFrom(Peer.cidr("..."), "${name}"), or 'clients' where the construct has them`,
      }));
  }

  private resolve(ports: readonly (Port | string)[]): [Port, string][] {
    const chosen = ports.length ? ports : [...this.named.keys()];
    return chosen.map((port) => {
      if (typeof port !== "string") return [port, `${this.name} ${port.toString()}`];
      const named = this.named.get(port);
      if (named) return [named, `${this.name} ${port}`];
      return refuse(this.scope, {
        code: "unknown-port",
        what: `'${port}' is no port of ${this.name}`,
        allowed: [...this.named.keys()].join(", ") || "a Port: nothing has a name here yet",
        fix: "use one of these names, or a Port",
      });
    });
  }
}

/** What a machine's own firewall lets in because of one group it belongs to. */
export function inboundRules(connections: Connections, self: Machine): Rule[] {
  return connections.inbound.flatMap(({ peer, port, purpose }) =>
    (peer instanceof Connections
      ? peer.machines
          .filter((machine) => machine !== self)
          .map(({ privateAddress }) => hostNetwork(privateAddress))
      : peer.cidrs
    ).map((network) => ({ protocol: port.protocol, first: port.first, last: port.last, network, purpose })),
  );
}

/** Where a machine has to get out to because of one group it belongs to. */
export function outboundRules(connections: Connections, self: Machine): Rule[] {
  return connections.outbound.flatMap(({ target, port }) =>
    target.machines
      .filter((machine) => machine !== self)
      .map(({ privateAddress }) => ({
        protocol: port.protocol,
        first: port.first,
        last: port.last,
        network: hostNetwork(privateAddress),
        purpose: `to ${target.name}`,
      })),
  );
}

/** Networks of everybody else whom the group lets in at a port: what a daemon's own list of clients is made of. */
export function clientNetworks(connections: Connections, port: Port): string[] {
  return connections.inbound
    .filter(
      ({ peer, port: { protocol, first, last } }) =>
        peer !== connections && protocol === port.protocol && first <= port.first && last >= port.last,
    )
    .flatMap(({ peer }) =>
      peer instanceof Connections
        ? peer.machines.map(({ privateAddress }) => singleNetwork(privateAddress))
        : peer.cidrs,
    );
}

/** A single address as a network; also one that only Terraform knows, where nobody takes an address without its length. */
export function singleNetwork(address: string): string {
  return `${address}/${isIpv6(address) ? 128 : 32}`;
}

/** The same, but an address that only Terraform knows stays as it is. */
function hostNetwork(address: string): string {
  return isIp(address) ? singleNetwork(address) : address;
}

/** Machines are let in by the group that they belong to. */
export function asPeer(peer: Connectable | Connections | Peer): Connections | Peer {
  return "connections" in peer ? peer.connections : peer;
}

function networksOf(peer: Connections | Peer): string | Connections {
  return peer instanceof Connections ? peer : peer.cidrs.join(" ");
}
