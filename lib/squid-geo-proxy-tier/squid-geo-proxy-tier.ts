import { Construct } from "constructs";
import { Peer } from "../firewall/peer";
import { checkPort } from "../firewall/port";
import type { Balanceable } from "../haproxy-keepalived-pair/servers";
import { checkProps } from "../input/guard";
import { addressesOf, timersOf } from "../keepalived/topology";
import type { Machine } from "../platform/machine";
import { checkAtSynth, checkCount } from "../problem";
import type { Rollout } from "../push/rollout";
import type { Secret } from "../secret/secret";
import type { ClusterTopology } from "../topology/topology";
import { storeOf, type CacheProps } from "./cache";
import { collectorOf, type LogCollector, type LogCollectorProps } from "./log-collector";
import type { SquidMetricsProps } from "./metrics-service";
import { OriginPool, type OriginPoolProps } from "./origin-pool";
import { RefreshRule } from "./refresh-rule";
import type { SplashPage } from "./splash-page";
import type { SquidModel } from "./squid-conf";
import { SquidRegion, type SquidRegionProps } from "./squid-region";
import { SPLASH_DIRECTORY } from "./squid-service";
import type { SquidStore } from "./store-conf";
import { checkTier, NO_SITES, problemsOfTier, warnOfTier } from "./tier-problems";

export interface SiteCertificate {
  /** PEM: the certificate, its chain and its private key, in one secret. */
  readonly certificate: Secret;
  /** Group of the regions' virtual IPs on which it is shown. @default - on every address, where there is one certificate */
  readonly virtualIp?: string;
}

export interface SitesHttpsProps {
  /**
   * One for all names; or several, each on virtual IPs of its own: Squid with OpenSSL shows one certificate on an address,
   * whatever name a visitor asks for.
   */
  readonly certificates: readonly SiteCertificate[];
  /** Oldest protocol version that is accepted. @default "TLSv1.2" - 1.0 and 1.1 are deprecated by RFC 8996 */
  readonly minimumVersion?: "TLSv1.2" | "TLSv1.3";
  /**
   * Seconds for which browsers keep to HTTPS (Strict-Transport-Security).
   * @default 0 - not said: plain HTTP is served too, and browsers would remember
   */
  readonly hstsSeconds?: number;
  /** @default 443 */
  readonly port?: number;
}

export interface SiblingsProps {
  /**
   * How siblings ask each other. HTCP sends the request's headers along, so an object in several variants (Vary) is found too.
   * With CARP each object has one node of the region, which fetches and keeps it for all: the caches of three nodes or more add up, and
   * what another node has is one more step away.
   * @default "icp" - on UDP 3130, in full mesh; HTCP on UDP 4827; CARP needs neither
   */
  readonly protocol?: "icp" | "htcp" | "carp";
  /**
   * Does a node keep what it got from a sibling?
   * @default - true with ICP and HTCP: it is still there when the sibling is not; false with CARP: caches add up
   */
  readonly keepCopies?: boolean;
  /** Do the nodes of different regions ask each other? Every miss then waits for the farthest one. @default false */
  readonly acrossRegions?: boolean;
}

export interface SquidGeoProxyTierProps {
  /** By a name of your own. They change one after the other, in this order. */
  readonly regions: Readonly<Record<string, SquidRegionProps>>;
  /** Host names that are served, and no others; with a leading dot, all below it: `.movember.com`. */
  readonly sites: readonly string[];
  /** For requests that name no host. @default - the first site, without its dot */
  readonly defaultSite?: string;
  /** Who answers what the cache cannot: one group, or several by name, for different hosts and paths. */
  readonly origins: Balanceable | Readonly<Record<string, OriginPoolProps>>;
  /** Who may ask. @default - anyone: it is the front of a public site */
  readonly clients?: readonly Peer[];
  /** Port of plain HTTP; false for none. @default 80 */
  readonly httpPort?: number | false;
  /** @default - plain HTTP only */
  readonly https?: SitesHttpsProps;
  /** How nodes share what they have cached. @default - by ICP, among the nodes of a region */
  readonly siblings?: SiblingsProps | false;
  readonly cache?: CacheProps;
  /** Shown in the place of every error of Squid's own, and of an origin's 502, 503 and 504. @default - Squid's own pages, and the origin's */
  readonly splashPage?: SplashPage;
  /** Further headers to take away from answers. Those by which Squid tells of itself are gone already. @default none */
  readonly hideHeaders?: readonly string[];
  /** Who may ask the cache manager, on the internal port. @default - nobody but the machine itself */
  readonly managers?: readonly Peer[];
  /** Who may remove objects by the method PURGE, on the internal port of each node. @default - nobody but the machine itself */
  readonly purgers?: readonly Peer[];
  /** Whose requests are not logged: checks. @default none */
  readonly monitoring?: readonly Peer[];
  /** Sends the lines of the access log to a machine that collects them, as they come. @default - they stay on the node */
  readonly logCollector?: LogCollectorProps;
  /** Squid's counters, in a file for each node's own node exporter. @default - none */
  readonly metrics?: SquidMetricsProps;
  /** Seconds for which a visitor waits while no origin answers. @default 20 - longer nobody looks at an empty page */
  readonly giveUpAfter?: number;
  /** For siblings, managers and purgers; on the node's private address. @default 3128 */
  readonly internalPort?: number;
  /** Files and connections that Squid may have open: a visitor who waits for an origin takes two. @default 65536 */
  readonly openFiles?: number;
  /** Versions of the packages: exact, or a pattern of apt's (`5.7*`). @default - what the machines' sources have */
  readonly packageVersions?: { readonly squid?: string; readonly keepalived?: string };
  /** Further lines of squid.conf, as they are. @default none */
  readonly extraLines?: readonly string[];
}

/** By these Squid tells of itself. */
const OWN_HEADERS = ["X-Cache", "X-Cache-Lookup", "Via", "Cache-Status", "X-Squid-Error"];

/**
 * Caching reverse proxies in one or several regions: in each a pair, or more, that shares an address and what it has cached.
 * They hide slow and dead origins from the visitors of a site.
 */
export class SquidGeoProxyTier extends Construct {
  readonly regions: Readonly<Record<string, SquidRegion>>;
  readonly pools: readonly OriginPool[];
  readonly store: SquidStore;
  private readonly collector?: LogCollector;
  /** What whoever comes after the tier depends on. */
  readonly ready: Rollout["last"];

  constructor(
    scope: Construct,
    id: string,
    readonly props: SquidGeoProxyTierProps,
  ) {
    super(scope, id);
    checkProps(this, "SquidGeoProxyTierProps", props, { sites: NO_SITES });
    checkTier(this);
    checkPort(this, "internalPort", props.internalPort);
    if (props.httpPort !== false) checkPort(this, "httpPort", props.httpPort);
    checkPort(this, "https.port", props.https?.port);
    checkCount(this, "giveUpAfter", props.giveUpAfter, 1, 3600, "seconds");
    checkCount(this, "openFiles", props.openFiles, 256, 1e6, "256 at least");
    checkCount(this, "https.hstsSeconds", props.https?.hstsSeconds, 0, 1e9, "seconds");
    this.store = storeOf(this, props.cache ?? {});
    this.collector = props.logCollector && collectorOf(this, props.logCollector);
    this.pools = Object.entries(this.poolProps).map(([name, pool]) => new OriginPool(this, name, pool));
    this.regions = Object.fromEntries(
      Object.entries(props.regions).map(([name, region]) => [name, new SquidRegion(this, name, region)]),
    );
    if (props.siblings !== false && props.siblings?.acrossRegions) this.letRegionsIn();
    // what is refused of the regions' files is refused here, and not only at synth
    for (const region of Object.values(this.regions)) region.httpsPorts();
    // every firewall lets the others in before anybody asks
    this.ready = Object.values(this.regions).reduce<Rollout["last"]>(
      (previous, region) => region.rollOut(previous),
      this.machines.map(({ base }) => base.resource),
    );
    warnOfTier(this);
    checkAtSynth(this, () => problemsOfTier(this));
  }

  /** Of one group of origins too. */
  get poolProps(): Readonly<Record<string, OriginPoolProps>> {
    const { origins } = this.props;
    return isBalanceable(origins) ? { origins: { to: origins } } : origins;
  }

  get machines(): Machine[] {
    return Object.values(this.regions).flatMap(({ machines }) => machines);
  }

  get sites(): readonly string[] {
    return this.props.sites;
  }

  get clients(): readonly Peer[] {
    return this.props.clients ?? [Peer.anyone()];
  }

  get internalPort(): number {
    return this.props.internalPort ?? 3128;
  }

  private get giveUpSeconds(): number {
    return this.props.giveUpAfter ?? 20;
  }

  /** Ports of visitors, by name. */
  get publicPorts(): Readonly<Record<string, number>> {
    const { httpPort = 80, https } = this.props;
    return {
      ...(httpPort === false ? {} : { http: httpPort }),
      ...(https ? { https: https.port ?? 443 } : {}),
    };
  }

  get https(): {
    readonly port: number;
    readonly minimumVersion: "TLSv1.2" | "TLSv1.3";
    readonly certificates: readonly {
      readonly virtualIp?: string;
      readonly secret: Secret;
      readonly path: string;
    }[];
  } {
    const { https } = this.props;
    return {
      port: https?.port ?? 443,
      minimumVersion: https?.minimumVersion ?? "TLSv1.2",
      certificates: (https?.certificates ?? []).map(({ virtualIp, certificate }, index) => ({
        virtualIp,
        secret: certificate,
        path: `/etc/squid/tls/site-${index + 1}.pem`,
      })),
    };
  }

  get siblings(): {
    readonly protocol: "icp" | "htcp" | "carp" | "none";
    readonly port: number;
    readonly keepCopies: boolean;
  } {
    const { siblings = {} } = this.props;
    if (siblings === false) return { protocol: "none", port: 0, keepCopies: false };
    const { protocol = "icp", keepCopies = protocol !== "carp" } = siblings;
    return { protocol, port: { icp: 3130, htcp: 4827, carp: 0 }[protocol], keepCopies };
  }

  /** Whom a node asks before it asks an origin; with CARP itself too, as one of those that an object may belong to. */
  siblingsOf(machine: Machine, region: SquidRegion): Machine[] {
    const { siblings = {} } = this.props;
    if (siblings === false) return [];
    if (siblings.protocol === "carp") return [...region.machines];
    return (siblings.acrossRegions ? this.machines : region.machines).filter((other) => other !== machine);
  }

  /** What is the same on every node. */
  get settings(): Omit<SquidModel, "fingerprint" | "node" | "https" | "internal" | "siblings"> {
    const { props } = this;
    const { cache = {}, https } = props;
    const networks = (peers: readonly Peer[] | undefined): string[] =>
      (peers ?? []).flatMap(({ cidrs }) => cidrs);
    return {
      tier: this.node.id,
      sites: props.sites,
      everyNode: this.machines.map(({ name }) => name),
      defaultSite: this.defaultSite,
      httpPort: this.publicPorts.http,
      pools: this.pools.map(({ model }) => model),
      managers: networks(props.managers),
      purgers: networks(props.purgers),
      monitoring: networks(props.monitoring),
      collector: this.collector,
      hideHeaders: [...new Set([...OWN_HEADERS, ...(props.hideHeaders ?? [])])],
      hstsSeconds: https?.hstsSeconds ?? 0,
      splashDirectory: props.splashPage && SPLASH_DIRECTORY,
      giveUpSeconds: this.giveUpSeconds,
      maximumObjectMiB: cache.maximumObjectMiB ?? 32,
      maximumObjectInMemoryKiB: cache.maximumObjectInMemoryKiB ?? 512,
      staleIfErrorSeconds: cache.staleIfError ?? 604_800,
      negativeTtlSeconds: cache.negativeTtl ?? 0,
      collapsedForwarding: cache.collapsedForwarding ?? false,
      refresh: (cache.refresh ?? [RefreshRule.queries(), RefreshRule.everything()]).map(({ model }) => model),
      openFiles: props.openFiles ?? 65_536,
      extraLines: props.extraLines ?? [],
    };
  }

  get defaultSite(): string {
    return this.props.defaultSite ?? this.props.sites[0]!.replace(/^\./, "");
  }

  /** Who is there, who needs whom, how long things take: without Terraform. */
  topology(): ClusterTopology {
    const regions = Object.values(this.regions);
    return {
      kind: "SquidGeoProxyTier",
      path: this.node.path,
      members: regions.flatMap(({ name: region, machines }) =>
        machines.map(({ name, zone }) => ({ name, zone, roles: [`proxy of ${region}`] })),
      ),
      addresses: regions.flatMap(({ name, groups }) =>
        addressesOf(groups).map((address) => ({ ...address, group: `${name}/${address.group}` })),
      ),
      needs: this.pools.map(({ name, target }) => ({
        name,
        members: target.servers.map((server) => server.name),
        atLeast: 1,
      })),
      survives: {
        failures: Math.min(
          ...regions.map(({ machines, keepalived }) => (keepalived ? machines.length - 1 : 0)),
        ),
        of: "node",
      },
      timers: [
        ...regions.flatMap(({ name, groups }) =>
          timersOf(groups).map((timer) => ({ ...timer, name: `${name}/${timer.name}` })),
        ),
        ...this.pools.map(({ name, model }) => ({
          name: `${name}: an origin that is gone gets no more requests`,
          seconds: model.connectTimeoutSeconds * model.connectFailLimit,
          because: "connections that fail in a row, each after its time is up",
        })),
        {
          name: "no origin answers: the splash page",
          seconds: this.giveUpSeconds,
          because: "what 'giveUpAfter' says",
        },
      ],
    };
  }

  /** The siblings of other regions are let in at each region's firewalls. */
  private letRegionsIn(): void {
    const regions = Object.values(this.regions);
    for (const region of regions) {
      for (const other of regions.filter((each) => each !== region)) region.letSiblingsIn(other);
    }
  }
}

function isBalanceable(origins: SquidGeoProxyTierProps["origins"]): origins is Balanceable {
  return typeof (origins as Partial<Balanceable>).balanceTarget === "function";
}
