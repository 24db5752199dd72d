import { checkProps } from "../input/guard";
import { Construct } from "constructs";
import { Connections, type Connectable } from "../firewall/connections";
import type { Peer } from "../firewall/peer";
import { Port } from "../firewall/port";
import { compareNames } from "../names";
import { isHostName, isIp, LOCALHOST } from "../net";
import type { Machine } from "../platform/machine";
import { machinesOf } from "../platform/nodes";
import type { NodeProps, Platform } from "../platform/platform";
import { checkAtSynth, isToken, refuse, refuseToken, refuseTwice, warn, warnAtSynth } from "../problem";
import { ofSameStack } from "../push/push";
import { Rollout } from "../push/rollout";
import type { Secret } from "../secret/secret";
import type { ClusterTopology } from "../topology/topology";
import type { GeoDatabase } from "./geo-database";
import type { GeoZone } from "./geo-zone";
import { problemsOfAnswers, problemsOfGlue, problemsOfServers, refuseName } from "./name-server-problems";
import { PowerDnsService } from "./power-dns-service";

export interface NameServerProps {
  /** Where the machine is from. Name servers of one name belong into different regions. */
  readonly platform: Platform;
  /** Its place, or a machine that is there already. @default - a new machine of the platform */
  readonly node?: NodeProps | Machine;
  /** What NS records call it: `ns1.example.net`. */
  readonly hostName: string;
  /**
   * What the host name leads to, where the name is one below a name that is served here, and where the machine comes from when it
   * asks regions that are not open to everybody.
   * @default - the private address
   */
  readonly publicAddress?: string;
}

export interface NameServersProps {
  /** By the name of the machine; two or three, in different regions. */
  readonly servers: Readonly<Record<string, NameServerProps>>;
  /** Who may ask. A public site's name servers are asked by every resolver: `[Peer.anyone()]`. */
  readonly clients: readonly Peer[];
  /** What tells the country of a visitor. @default - nothing does: names know visitors by `networks` only */
  readonly database?: GeoDatabase;
  /** Version of the packages pdns-server and pdns-backend-geoip: exact, or a pattern of apt's. @default - what the machines' sources have */
  readonly packageVersion?: string;
}

/** A name that is answered for. */
export type ServedName = Omit<GeoZone, "nameServers"> & { readonly dnssecKey?: Secret };

/**
 * Authoritative name servers of your own, for {@link GeoDnsService.powerDns}: PowerDNS with its geoip backend. None knows of the
 * others; each checks for itself which regions answer. They resolve nothing else for anybody.
 */
export class NameServers extends Construct implements Connectable {
  readonly connections: Connections;
  /** In the order in which they change: by name. */
  readonly machines: readonly Machine[];
  /** What whoever comes after the name servers depends on. */
  readonly ready: Rollout["last"];
  private readonly names = new Map<string, ServedName>();
  private readonly propsOf = new Map<Machine, NameServerProps>();
  /** Read at synth: names come later. */
  private readonly waitsFor: Rollout["last"][number][];

  constructor(
    scope: Construct,
    id: string,
    readonly props: NameServersProps,
  ) {
    super(scope, id);
    checkProps(this, "NameServersProps", props);
    this.machines = this.makeMachines();
    this.checkHostNames();
    this.connections = new Connections(this, {
      name: id,
      ports: { dns: Port.udp(53), "dns over tcp": Port.tcp(53) },
    });
    for (const machine of this.machines) {
      this.connections.addMachine(machine);
      machine.listens(this, () =>
        [LOCALHOST, machine.privateAddress].flatMap((address) =>
          [Port.udp(53), Port.tcp(53)].map((port) => ({ port, address })),
        ),
      );
    }
    for (const peer of props.clients) this.connections.allowFrom(peer);
    const { database, packageVersion } = props;
    const service = new PowerDnsService({
      zones: () => this.zones,
      keys: () => this.keys,
      database,
      packageVersion,
    });
    this.waitsFor = this.machines.map(({ base }) => base.resource);
    this.ready = new Rollout(this, "rollout", {
      nodes: this.machines.map((machine) => ({ machine, services: [service] })),
      dependsOn: this.waitsFor,
    }).last;
    if (this.machines.length < 2) {
      warn(this, {
        code: "lone-name-server",
        what: "one name server",
        allowed: "two or three, in different regions",
        fix: "add another one, and its NS record in the zone above",
      });
    }
    checkAtSynth(this, () => problemsOfServers([...this.names.values()]));
    warnAtSynth(this, () => [...problemsOfGlue(this.zones, props), ...problemsOfAnswers(this.zones, props)]);
  }

  /** Answers for one more name, once what it leads to is there. */
  addName(scope: Construct, name: ServedName, tier: Rollout["last"] = []): void {
    refuseTwice(scope, "GeoDns for the name", this.names, name.site.name);
    refuseName(scope, name, this);
    this.waitsFor.push(...ofSameStack(this, tier));
    this.names.set(name.site.name, name);
  }

  /** Who is there: without Terraform. */
  topology(): ClusterTopology {
    return {
      kind: "NameServers",
      path: this.node.path,
      members: this.machines.map(({ name, zone }) => ({ name, zone, roles: ["name server"] })),
      addresses: [],
      needs: [...this.names.values()].map(({ site, plan }) => ({
        name: site.name,
        members: plan.regions.map((region) => region.name),
        atLeast: 1,
      })),
      survives: { failures: this.machines.length - 1, of: "node" },
      timers: [],
    };
  }

  private get zones(): GeoZone[] {
    const nameServers = this.machines.map((machine) => {
      const { hostName, publicAddress } = this.propsOf.get(machine)!;
      return { hostName, address: publicAddress ?? machine.privateAddress };
    });
    return [...this.names.values()].map(({ dnssecKey: _, ...name }) => ({ ...name, nameServers }));
  }

  private get keys(): { readonly zone: string; readonly key: Secret }[] {
    return [...this.names.values()].flatMap(({ site, dnssecKey }) =>
      dnssecKey ? [{ zone: site.name, key: dnssecKey }] : [],
    );
  }

  /** All of one platform together: only so is told that they are in one zone. */
  private makeMachines(): Machine[] {
    const { servers } = this.props;
    const entries = Object.entries(servers);
    const platforms = [...new Set(entries.map(([, { platform }]) => platform))];
    if (!platforms.length) {
      refuse(this, {
        code: "no-nodes",
        what: "'servers' is empty",
        allowed: "two or three name servers",
        fix: "name them, each with its platform and host name",
      });
    }
    for (const platform of platforms) {
      const own = entries.filter(([, each]) => each.platform === platform);
      const nodes = Object.fromEntries(own.map(([name, { node }]) => [name, node ?? {}]));
      // a machine that is there already may have another name than its entry
      for (const [index, machine] of machinesOf(this, platform, nodes).entries()) {
        this.propsOf.set(machine, own[index]![1]);
      }
    }
    return [...this.propsOf.keys()].sort((a, b) => compareNames(a.name, b.name));
  }

  private checkHostNames(): void {
    const seen = new Set<string>();
    for (const [name, { hostName, publicAddress }] of Object.entries(this.props.servers)) {
      refuseToken(this, "hostName", hostName);
      if (!isHostName(hostName) || !hostName.includes(".") || hostName !== hostName.toLowerCase()) {
        refuse(this, {
          code: "bad-name",
          what: `the host name '${hostName}' of ${name}`,
          allowed: "a whole host name in small letters: ns1.example.net",
          fix: "without a dot at the end",
        });
      }
      refuseTwice(this, "name server with the host name", seen, hostName);
      seen.add(hostName);
      if (publicAddress !== undefined && !isToken(publicAddress) && !isIp(publicAddress)) {
        refuse(this, {
          code: "bad-address",
          what: `'publicAddress' of ${name} is '${publicAddress}'`,
          allowed: "an IPv4 or IPv6 address",
          fix: "the address at which resolvers reach the machine",
        });
      }
    }
  }
}
