import { Construct } from "constructs";
import { Connections, type Connectable } from "../firewall/connections";
import { Port } from "../firewall/port";
import { Keepalived } from "../keepalived/keepalived";
import type { VrrpScript } from "../keepalived/keepalived-conf";
import {
  groupsOf,
  warnOfLoneNode,
  type VirtualIpGroup,
  type VirtualIpProps,
} from "../keepalived/virtual-ip-group";
import type { Listening, Machine } from "../platform/machine";
import { machinesOf } from "../platform/nodes";
import type { Nodes, Platform } from "../platform/platform";
import { refuse, warnAtSynth, type Problem } from "../problem";
import { Rollout } from "../push/rollout";
import type { SquidGeoProxyTier } from "./squid-geo-proxy-tier";
import { SquidMetricsService } from "./metrics-service";
import { SquidService, type SquidSource } from "./squid-service";
import type { SquidHttps, SquidModel } from "./squid-conf";

export interface SquidRegionProps extends VirtualIpProps {
  /** Machines of the region: another AWS region, or hosts that exist. */
  readonly platform: Platform;
  /** @default - two, called after the tier and the region: `front-uk-1` and `front-uk-2` */
  readonly nodes?: Nodes;
}

/** Proxies of one place: they share an address, and what each has cached. */
export class SquidRegion extends Construct implements Connectable {
  readonly connections: Connections;
  readonly machines: readonly Machine[];
  readonly groups: Readonly<Record<string, VirtualIpGroup>>;
  readonly keepalived?: Keepalived;

  constructor(
    private readonly tier: SquidGeoProxyTier,
    readonly name: string,
    readonly props: SquidRegionProps,
  ) {
    super(tier, name);
    const full = `${tier.node.id}-${name}`;
    this.machines = machinesOf(this, props.platform, props.nodes ?? [`${full}-1`, `${full}-2`]);
    this.groups = groupsOf(this, props);
    warnOfLoneNode(this, this.machines, this.groups);
    this.connections = new Connections(this, { name: full });
    for (const machine of this.machines) {
      this.connections.addMachine(machine);
      machine.listens(this, () => this.listening());
    }
    if (Object.keys(this.groups).length) {
      this.keepalived = new Keepalived(this, "keepalived", {
        machines: this.machines,
        groups: this.groups,
        connections: this.connections,
        units: ["squid.service"],
        scripts: [ANSWERS],
        packageVersion: tier.props.packageVersions?.keepalived,
      });
    }
    this.openPorts();
    warnAtSynth(this, () => this.addressWarnings());
  }

  /** What visitors of the region connect to: every virtual IP, or the nodes themselves where there is none. */
  get addresses(): string[] {
    const virtual = Object.values(this.groups).flatMap(({ addresses }) =>
      addresses.map(({ address }) => address),
    );
    return virtual.length ? virtual : this.machines.map(({ privateAddress }) => privateAddress);
  }

  /** Brings Squid and the address onto the nodes. */
  rollOut(dependsOn: Rollout["last"]): Rollout["last"] {
    const squid = new SquidService(this.source());
    const { keepalived } = this;
    const { metrics: wanted } = this.tier.props;
    const metrics = wanted && new SquidMetricsService(this, wanted);
    return new Rollout(this, "rollout", {
      nodes: this.machines.map((machine) => ({
        machine,
        services: [squid, ...(keepalived ? [keepalived] : []), ...(metrics ? [metrics] : [])],
      })),
      // a change that breaks a node is found out on one that serves nobody
      standbyFirst: keepalived !== undefined,
      dependsOn,
    }).last;
  }

  /** HTTPS ports: each certificate on the address of its own group, or the only one on every address. */
  httpsPorts(): SquidHttps[] {
    const { certificates, minimumVersion, port } = this.tier.https;
    return certificates.flatMap(({ virtualIp, path }): SquidHttps[] => {
      const rest = { port, certificateFile: path, minimumVersion };
      if (virtualIp === undefined) return [rest];
      const group = this.groups[virtualIp];
      if (!group) {
        return refuse(this, {
          code: "virtual-ip-mode",
          what: `a certificate is for the virtual IP '${virtualIp}'`,
          allowed: Object.keys(this.groups).join(", ") || "none: the region has no virtual IP",
          fix: "give every region a group of this name",
        });
      }
      const elsewhere = group.addresses.find(({ mode }) => mode === "elastic");
      if (elsewhere) {
        return refuse(this, {
          code: "virtual-ip-mode",
          what: `a certificate is for the elastic address of '${virtualIp}'`,
          allowed: "an address that the machine itself sees: AWS translates an elastic one before it arrives",
          fix: "one certificate for all names, without 'virtualIp'",
        });
      }
      return group.addresses.map(({ address }) => ({ ...rest, address }));
    });
  }

  /** Nodes that are all in DNS are a choice; who has forgotten the address notices it when one of them dies. */
  private addressWarnings(): Problem[] {
    const moves = this.machines.some(({ serviceNames }) => serviceNames.includes("keepalived"));
    if (this.machines.length < 2 || moves) return [];
    return [
      {
        code: "no-virtual-ip",
        what: `${this.machines.length} nodes of '${this.name}' without a virtual IP: visitors of one that dies are not led to another one`,
        allowed:
          "an address that moves to whoever is alive; none where DNS or another balancer leads to every node",
        fix: "virtualIp: VirtualIp...; or leave it so with GeoDnsService.powerDns, which leaves a dead node out of its answers (Route 53 does when the whole region is dead)",
      },
    ];
  }

  /** Nodes of another region ask this one's. */
  letSiblingsIn(other: SquidRegion): void {
    this.connections.allowFrom(other.connections, ...this.siblingPorts);
  }

  /** Where siblings ask, and where they fetch. */
  private get siblingPorts(): Port[] {
    const { internalPort, siblings } = this.tier;
    return [Port.tcp(internalPort), ...(siblings.port ? [Port.udp(siblings.port)] : [])];
  }

  private listening(): Listening[] {
    const { internalPort, publicPorts, siblings } = this.tier;
    return [
      ...[internalPort, ...(publicPorts.http === undefined ? [] : [publicPorts.http])].map((port) => ({
        port: Port.tcp(port),
      })),
      ...(siblings.port ? [{ port: Port.udp(siblings.port) }] : []),
      ...this.httpsPorts().map(({ port, address }) => ({ port: Port.tcp(port), address })),
    ];
  }

  private openPorts(): void {
    const { tier, connections } = this;
    for (const [name, number] of Object.entries(tier.publicPorts)) {
      connections.addPort(name, Port.tcp(number));
      for (const peer of tier.clients) connections.allowFrom(peer, name);
    }
    if (this.machines.length > 1 && tier.siblings.protocol !== "none")
      connections.allowInternally(...this.siblingPorts);
    for (const peer of [...(tier.props.managers ?? []), ...(tier.props.purgers ?? [])]) {
      connections.allowFrom(peer, Port.tcp(tier.internalPort));
    }
    for (const pool of tier.pools) pool.target.connections?.allowFrom(connections, ...pool.ports);
  }

  private source(): SquidSource {
    const { tier } = this;
    return {
      model: (machine) => this.model(machine),
      store: tier.store,
      splashPage: tier.props.splashPage,
      originChecks: this.checks(),
      warm: tier.props.cache?.warm ?? [],
      certificates: tier.https.certificates,
      authorities: tier.pools.flatMap(({ authority }) => (authority ? [authority] : [])),
      packageVersion: tier.props.packageVersions?.squid,
      activeHook: this.keepalived?.activeHook,
    };
  }

  /** Whom a node's own firewall refuses to Squid while it does not answer. A colon is in no pool's name. */
  private checks(): string {
    const { tier } = this;
    // this node too: the others may all be gone, and then still are
    const nodes = tier.siblings.protocol === "carp" ? this.machines : [];
    return [
      ...tier.pools.map((pool) => pool.checks(tier.defaultSite)),
      ...nodes.map(({ privateAddress }) => `:siblings ${privateAddress} ${tier.internalPort} - -\n`),
    ].join("");
  }

  private model(machine: Machine): Omit<SquidModel, "fingerprint"> {
    const { tier } = this;
    const siblings = tier.siblingsOf(machine, this);
    const { protocol } = tier.siblings;
    const reached =
      siblings.length > 0 || [tier.props.managers, tier.props.purgers].some((peers) => peers?.length);
    return {
      ...tier.settings,
      node: machine.name,
      https: this.httpsPorts(),
      internal: { port: tier.internalPort, address: reached ? machine.privateAddress : undefined },
      siblings: siblings.length
        ? {
            protocol: protocol === "none" ? "icp" : protocol,
            port: tier.siblings.port,
            workers: tier.store.workers,
            keepCopies: tier.siblings.keepCopies,
            nodes: siblings.map((node) => ({
              name: node.name,
              address: node.privateAddress,
              self: node === machine,
            })),
          }
        : undefined,
    };
  }
}

/** Found at work but not answering: twice in a row, and another node takes over. */
const ANSWERS: VrrpScript = {
  name: "squid_answers",
  command: "/usr/local/lib/cdktf-ha/squid-answers",
  interval: 3,
  fall: 2,
};
