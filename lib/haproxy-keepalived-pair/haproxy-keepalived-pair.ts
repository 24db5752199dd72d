import { join } from "node:path";
import { Construct } from "constructs";
import { Connections, type Connectable } from "../firewall/connections";
import type { Peer } from "../firewall/peer";
import { checkPort, Port } from "../firewall/port";
import { checkProps } from "../input/guard";
import { Keepalived } from "../keepalived/keepalived";
import {
  groupsOf,
  warnOfLoneNode,
  type VirtualIpGroup,
  type VirtualIpProps,
} from "../keepalived/virtual-ip-group";
import { addressesOf, timersOf } from "../keepalived/topology";
import type { VrrpScript } from "../keepalived/keepalived-conf";
import { isIpv6 } from "../net";
import { memoryGiBOf } from "../platform/aws/instance-memory";
import type { Listening, Machine } from "../platform/machine";
import { machinesOf } from "../platform/nodes";
import type { Nodes, Platform } from "../platform/platform";
import {
  checkAtSynth,
  checkCount,
  isToken,
  refuse,
  refuseTwice,
  warnAtSynth,
  type Problem,
} from "../problem";
import { shareText } from "../push/program";
import { Rollout } from "../push/rollout";
import { scriptText } from "../script-text";
import type { Secret } from "../secret/secret";
import type { ClusterTopology } from "../topology/topology";
import { Backend, type BackendProps } from "./backend";
import type { HaproxyModel } from "./haproxy-cfg";
import { HaproxyService, type HaproxySource } from "./haproxy-service";
import { Listener, type ListenerProps } from "./listener";
import type { Balanceable } from "./servers";

export interface StatisticsProps {
  /** Of the user `admin`, for the page at `/` and for Prometheus at `/metrics`. */
  readonly password: Secret;
  /** Who may connect. */
  readonly clients: readonly Peer[];
  /** On the node's private address only. @default 8404 */
  readonly port?: number;
}

export interface HaproxyKeepalivedPairProps extends VirtualIpProps {
  readonly platform: Platform;
  /** @default - two, called after the construct's id: `lb-1` and `lb-2` */
  readonly nodes?: Nodes;
  /**
   * Connections at a time, of all listeners. HAProxy sizes its file limit by it.
   * @default 20000 - about 600 MB when all are in use, at 33 kB each
   */
  readonly maximumConnections?: number;
  /** Port on which the nodes tell each other their stick tables. @default 10000 */
  readonly peersPort?: number;
  /** Statistics page and metrics. @default - none */
  readonly statistics?: StatisticsProps;
  /** Versions of the packages: exact, or a pattern of apt's (`2.6.*`). @default - what the machines' sources have */
  readonly packageVersions?: { readonly haproxy?: string; readonly keepalived?: string };
  /** Further lines of the global section, as they are. @default none */
  readonly extraGlobalLines?: readonly string[];
}

/** What {@link HaproxyKeepalivedPair.balance} takes: a listener and its backend in one. */
export interface BalanceProps extends ListenerProps, Omit<BackendProps, "extraLines" | "mode"> {}

/** HAProxy's two buffers of 16 kB, and what it notes of a connection. */
const CONNECTION_BYTES = 33_000;
const ON_MACHINE = join(__dirname, "on-machine");

/**
 * Load balancers of which one at least is always there: HAProxy on each node, and keepalived that gives the virtual IP to a
 * node that is alive. A node that loses power is replaced within 0.7 s, a haproxy that dies within 0.1 s.
 */
export class HaproxyKeepalivedPair extends Construct implements Connectable, HaproxySource {
  readonly connections: Connections;
  readonly machines: readonly Machine[];
  readonly packageVersion?: string;
  private readonly listeners = new Map<string, Listener>();
  private readonly backends = new Map<string, Backend>();
  private readonly drained = new Map<object, Backend[]>();
  private readonly groups: Readonly<Record<string, VirtualIpGroup>>;
  private readonly keepalived?: Keepalived;
  private readonly rollout: Rollout;

  constructor(
    scope: Construct,
    id: string,
    private readonly props: HaproxyKeepalivedPairProps,
  ) {
    super(scope, id);
    checkProps(this, "HaproxyKeepalivedPairProps", props);
    const { platform, nodes = [`${id}-1`, `${id}-2`] } = props;
    checkPort(this, "peersPort", props.peersPort);
    checkPort(this, "statistics.port", props.statistics?.port);
    checkCount(this, "maximumConnections", props.maximumConnections, 1, 1e7, "at least one");
    this.packageVersion = props.packageVersions?.haproxy;
    this.machines = machinesOf(this, platform, nodes);
    this.connections = new Connections(this, { name: id });
    for (const machine of this.machines) {
      this.connections.addMachine(machine);
      machine.listens(this, () => this.listening(machine));
    }
    this.groups = groupsOf(this, props);
    warnOfLoneNode(this, this.machines, this.groups);
    warnAtSynth(this, () => this.warnings());
    if (this.machines.length > 1) this.connections.allowInternally(Port.tcp(this.peersPort));
    const statistics = props.statistics;
    if (statistics) {
      this.connections.addPort("statistics", Port.tcp(statistics.port ?? 8404));
      for (const peer of statistics.clients) this.connections.allowFrom(peer, "statistics");
    }
    if (Object.keys(this.groups).length) {
      this.keepalived = new Keepalived(this, "keepalived", {
        machines: this.machines,
        groups: this.groups,
        connections: this.connections,
        units: ["haproxy.service"],
        scripts: [ANSWERS],
        packageVersion: props.packageVersions?.keepalived,
      });
    }
    const { keepalived } = this;
    const haproxy = new HaproxyService(this);
    this.rollout = new Rollout(this, "rollout", {
      nodes: this.machines.map((machine) => ({
        machine,
        services: [haproxy, ...(keepalived ? [keepalived] : [])],
      })),
      // a change that breaks a node is found out on one that serves nobody
      standbyFirst: keepalived !== undefined,
    });
    checkAtSynth(this, () => this.problems());
  }

  /** A listener with a backend of its own: the short form. */
  balance(name: string, props: BalanceProps): Listener {
    const mode = props.mode === undefined ? {} : { mode: props.mode };
    const { extraLines: _listenerLines, ...backend } = props;
    return this.listen(name, this.backend(name, { ...backend, ...mode }), props);
  }

  /** A group of servers, for one or several listeners. Their firewalls let the pair in. */
  backend(name: string, props: BackendProps): Backend {
    refuseTwice(this, "backend", this.backends, name);
    const backend = new Backend(this, name, props);
    this.backends.set(name, backend);
    backend.target.connections?.allowFrom(this.connections, ...backend.ports);
    this.takePartInChanges(backend);
    return backend;
  }

  /** A port, and the backend to which its requests go unless a {@link Listener.route} says otherwise. */
  listen(name: string, backend: Backend, props: ListenerProps): Listener {
    refuseTwice(this, "listener", this.listeners, name);
    if (props.virtualIp !== undefined && !Object.hasOwn(this.groups, props.virtualIp)) {
      refuse(this, {
        code: "virtual-ip-mode",
        what: `listener '${name}' is bound to the virtual IP '${props.virtualIp}'`,
        allowed: Object.keys(this.groups).join(", ") || "none: the pair has no virtual IP",
        fix: "name one of these, or leave it out for every address of the node",
      });
    }
    const listener = new Listener(this, name, props, backend);
    this.listeners.set(name, listener);
    this.connections.addPort(name, Port.tcp(props.port));
    for (const peer of props.clients ?? []) {
      this.connections.allowFrom(peer, name, ...listener.ports.slice(1));
    }
    return listener;
  }

  /** What clients connect to: the first virtual IP, or the only node. */
  get address(): string {
    return Object.values(this.groups)[0]?.addresses[0]?.address ?? this.machines[0]!.privateAddress;
  }

  /** Everything that has to be done before clients can connect. */
  get ready(): Rollout["last"] {
    return this.rollout.last;
  }

  /** Who is there, who needs whom, how long things take: without Terraform. */
  topology(): ClusterTopology {
    return {
      kind: "HaproxyKeepalivedPair",
      path: this.node.path,
      members: this.machines.map(({ name, zone }) => ({ name, zone, roles: ["load-balancer"] })),
      addresses: addressesOf(this.groups),
      needs: [...this.backends.values()].map((backend) => ({
        name: backend.name,
        members: backend.serverNames,
        atLeast: 1,
      })),
      survives: { failures: this.keepalived ? this.machines.length - 1 : 0, of: "node" },
      timers: timersOf(this.groups),
    };
  }

  // HaproxySource: asked by the service at synth

  model(machine: Machine): Omit<HaproxyModel, "fingerprint"> {
    const { statistics } = this.props;
    const listeners = [...this.listeners.values()];
    return {
      node: machine.name,
      maximumConnections: this.maximumConnections,
      tls: this.certificates.length > 0,
      peers:
        this.machines.length > 1
          ? {
              port: this.peersPort,
              members: this.machines.map(({ name, privateAddress }) => ({ name, address: privateAddress })),
            }
          : undefined,
      stats: statistics && {
        address: machine.privateAddress,
        port: statistics.port ?? 8404,
        user: "admin",
        password: statistics.password.quotable,
      },
      listeners: listeners.map((listener) => listener.model(this.bindAddresses(listener))),
      backends: [...this.backends.values()].map((backend) =>
        backend.model(
          listeners
            .filter((listener) => listener.uses(backend))
            .every(({ certificates }) => certificates.length > 0),
        ),
      ),
      extraGlobalLines: this.props.extraGlobalLines ?? [],
    };
  }

  get activeHook(): string | undefined {
    return this.keepalived?.activeHook;
  }

  get secrets(): Secret[] {
    return this.props.statistics ? [this.props.statistics.password] : [];
  }

  get certificates(): { path: string; secret: Secret }[] {
    return [...this.listeners.values()].flatMap((listener) =>
      listener.certificates.map((secret, index) => ({ path: listener.certificateFile(index), secret })),
    );
  }

  get authorities(): { path: string; text: string }[] {
    const all = [
      ...[...this.listeners.values()].map(({ clientAuthorities }) => clientAuthorities),
      ...[...this.backends.values()].flatMap(({ authorities }) => authorities),
    ];
    return all.filter((authority) => authority !== undefined);
  }

  get serverStates(): [string, string][] {
    return [...this.backends.values()].flatMap((backend) =>
      backend.declaredStates.map(([server, state]): [string, string] => [`${backend.name}/${server}`, state]),
    );
  }

  private get maximumConnections(): number {
    return this.props.maximumConnections ?? 20_000;
  }

  private get peersPort(): number {
    return this.props.peersPort ?? 10_000;
  }

  private bindAddresses({ props }: Listener): string[] {
    if (props.virtualIp !== undefined)
      return this.groups[props.virtualIp]!.addresses.map(({ address }) => address);
    const ipv6 =
      Object.values(this.groups).some(({ addresses }) => addresses.some((address) => address.isIpv6)) ||
      this.machines.some(({ privateAddress }) => isIpv6(privateAddress));
    return ipv6 ? ["*", "::"] : ["*"];
  }

  private listening({ privateAddress: address }: Machine): Listening[] {
    const { statistics } = this.props;
    return [
      ...(this.machines.length > 1 ? [{ port: Port.tcp(this.peersPort), address }] : []),
      ...(statistics ? [{ port: Port.tcp(statistics.port ?? 8404), address }] : []),
      ...[...this.listeners.values()].flatMap((listener) =>
        listener.ports.flatMap((port) =>
          listener.props.virtualIp === undefined
            ? [{ port }]
            : this.bindAddresses(listener).map((bound) => ({ port, address: bound })),
        ),
      ),
    ];
  }

  /** Servers that are in several backends are told once, for all of them: each command is a connection of its own. */
  private takePartInChanges(backend: Backend): void {
    const { target } = backend;
    const group = target.connections ?? target;
    const known = this.drained.get(group);
    if (known) {
      known.push(backend);
      return;
    }
    const backends = [backend];
    this.drained.set(group, backends);
    const before = shareText(this, scriptText(join(ON_MACHINE, "drain.sh")));
    const after = shareText(this, scriptText(join(ON_MACHINE, "undrain.sh")));
    target.onDrain?.((server) => {
      const taking = backends.filter(({ serverNames }) => serverNames.includes(server));
      const variables = drainVariables(taking, server);
      return taking.length ? this.machines.map((machine) => ({ machine, variables, before, after })) : [];
    });
  }

  private warnings(): Problem[] {
    return [...this.addressWarnings(), ...this.memoryWarnings()];
  }

  /** Where the type of an instance tells its memory. */
  private memoryWarnings(): Problem[] {
    const { maximumConnections } = this;
    return this.machines.flatMap(({ name, aws }): Problem[] => {
      const memory = aws && !isToken(aws.instanceType) ? memoryGiBOf(aws.instanceType) : undefined;
      if (memory === undefined || maximumConnections * CONNECTION_BYTES <= memory * 2 ** 30) return [];
      return [
        {
          code: "memory-above-machine",
          what: `${maximumConnections} connections take ${Math.ceil((maximumConnections * CONNECTION_BYTES) / 2 ** 30)} GiB, ${name} is a ${aws!.instanceType} with ${memory} GiB`,
          allowed: `at most ${Math.floor((memory * 2 ** 30) / CONNECTION_BYTES)} 'maximumConnections', at 33 kB each`,
          fix: "a larger instanceType, or a smaller 'maximumConnections': those above it wait instead",
        },
      ];
    });
  }

  /** Who has forgotten the address notices it when the node that clients know dies. */
  private addressWarnings(): Problem[] {
    const moves = this.machines.some(({ serviceNames }) => serviceNames.includes("keepalived"));
    if (this.machines.length < 2 || moves) return [];
    return [
      {
        code: "no-virtual-ip",
        what: `${this.machines.length} nodes without a virtual IP: clients of a node that dies are not led to another one`,
        allowed:
          "an address that moves to whoever is alive; none where DNS or another balancer leads to every node",
        fix: "virtualIp: VirtualIp...; or leave it so, with something in front that asks the nodes whether they are well",
      },
    ];
  }

  private problems(): Problem[] {
    const problems: Problem[] = [];
    if (!this.listeners.size) {
      problems.push({
        code: "no-listener",
        what: "no listener",
        allowed: "one at least",
        fix: "call balance() or listen()",
      });
    }
    const taken = new Map<string, string>();
    const take = (port: Port, virtualIp: string | undefined, owner: string): void => {
      // A port on every address leaves none for a single one, and the other way round.
      const clash = [...taken].find(([key]) => {
        const [otherPort, otherIp] = key.split(" on ");
        return (
          otherPort === port.toString() &&
          (otherIp === "*" || virtualIp === undefined || otherIp === virtualIp)
        );
      });
      if (clash) {
        problems.push({
          code: "listener-clash",
          what: `${owner} and ${clash[1]} both want ${port.toString()}`,
          allowed: "one listener for a port, or several that are bound to different virtual IPs",
          fix: "change a port, send requests on by routes, or set 'virtualIp' at both",
        });
      }
      taken.set(`${port.toString()} on ${virtualIp ?? "*"}`, owner);
    };
    if (this.machines.length > 1) take(Port.tcp(this.peersPort), undefined, "the peers");
    if (this.props.statistics)
      take(Port.tcp(this.props.statistics.port ?? 8404), undefined, "the statistics");
    for (const [name, listener] of this.listeners) {
      for (const port of listener.ports) take(port, listener.props.virtualIp, `listener '${name}'`);
    }
    return problems;
  }
}

/** Found at work but not answering: twice in a row, and another node takes over. */
const ANSWERS: VrrpScript = {
  name: "haproxy_answers",
  command: "/usr/local/lib/cdktf-ha/haproxy-answers",
  interval: 2,
  fall: 2,
};

export type { Balanceable };

/** What drain.sh and undrain.sh are told. */
function drainVariables(backends: readonly Backend[], server: string): Record<string, string> {
  const names = (some: readonly Backend[]): string => some.map(({ name }) => name).join(" ");
  return {
    SERVER: server,
    BACKENDS: names(backends),
    STICKY: names(backends.filter((backend) => backend.mode === "http" && backend.isSticky)),
    SECONDS_AT_MOST: String(Math.ceil(Math.max(...backends.map(({ drainTimeout }) => drainTimeout)))),
  };
}
