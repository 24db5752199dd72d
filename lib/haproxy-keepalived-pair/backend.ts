import { Construct } from "constructs";
import { checkPort, Port } from "../firewall/port";
import { checkHost } from "../platform/ssh-access";
import { checkCount, checkRange, refuse } from "../problem";
import type { Stickiness } from "./algorithm";
import { Algorithm } from "./algorithm";
import type { HaproxyBackend, HaproxyServer } from "./haproxy-cfg";
import { checkToken, HealthCheck } from "./health-check";
import { stableServerId, type Balanceable, type BalanceServer, type BalanceTarget } from "./servers";
import type { ServerTls } from "./tls";

/** Settings of a single server. */
export interface ServerSettings {
  /** Share of the requests, 0 to 256. @default 100 */
  readonly weight?: number;
  /** Gets requests only when all others are down; several share them. @default false */
  readonly backup?: boolean;
  /** Connections at a time; more wait in the backend's queue. @default - the backend's `maximumConnectionsPerServer` */
  readonly maximumConnections?: number;
  /**
   * `drain`: no new clients, those with a session go on; `maintenance`: nobody, and no checks.
   * @default "ready" - or what an operator set by hand, which reloads keep
   */
  readonly state?: "ready" | "drain" | "maintenance";
}

export interface BackendProps {
  readonly to: Balanceable;
  /** Port of the servers. @default - what `to` says */
  readonly serverPort?: number;
  /**
   * Over tcp, connections to a server that is found dead are cut, also those that are just being made: a database that is
   * no longer the primary must not be written to. Whoever connects again gets another server.
   * @default - what `to` says, else "http"
   */
  readonly mode?: "http" | "tcp";
  /** @default Algorithm.roundRobin() */
  readonly algorithm?: Algorithm;
  /** @default - what `to` says, else HealthCheck.http("/") for http and HealthCheck.tcp() for tcp */
  readonly check?: HealthCheck;
  /**
   * Seconds between checks of a server that is up. @default 2 - two failures take it out: a daemon that died within 2.5 s,
   * a machine that does not answer at all within 6.5 s
   */
  readonly checkInterval?: number;
  /** @default - none: every server can answer every request */
  readonly stickiness?: Stickiness;
  /** By server name. @default - all alike */
  readonly servers?: Readonly<Record<string, ServerSettings>>;
  /** Connections to one server at a time; more wait. @default - no limit */
  readonly maximumConnectionsPerServer?: number;
  /** Seconds a request waits for a free server until it is answered 503. @default 30 */
  readonly queueTimeout?: number;
  /** Seconds a server may take for its answer (http) or stay silent (tcp). @default 50 for http, 3600 for tcp */
  readonly serverTimeout?: number;
  /** Seconds in which a server that comes back gets its full share. @default - at once */
  readonly slowStart?: number;
  /** Encrypt to the servers. @default - plain */
  readonly serverTls?: ServerTls;
  /** Tell the servers the client's address by the PROXY protocol, which they must expect. @default false */
  readonly proxyProtocol?: boolean;
  /** Seconds for requests under way when a server is taken out for its own change. @default 30 */
  readonly drainTimeout?: number;
  /** Further lines of the backend section, as they are. @default none */
  readonly extraLines?: readonly string[];
}

/** A group of servers behind the pair. */
export class Backend extends Construct {
  readonly mode: "http" | "tcp";
  readonly target: BalanceTarget;
  readonly drainTimeout: number;
  private readonly servers: readonly BalanceServer[];
  private readonly check: HealthCheck;

  constructor(
    scope: Construct,
    readonly name: string,
    private readonly props: BackendProps,
  ) {
    super(scope, name);
    this.target = props.to.balanceTarget(props.serverPort);
    this.servers = this.target.servers;
    this.mode = props.mode ?? this.target.mode ?? "http";
    this.check =
      props.check ?? this.target.check ?? (this.mode === "http" ? HealthCheck.http("/") : HealthCheck.tcp());
    this.drainTimeout = props.drainTimeout ?? 30;
    this.checkProps();
  }

  get serverNames(): string[] {
    return this.servers.map(({ name }) => name);
  }

  /** Ports at which the servers' firewalls must let the pair in. */
  get ports(): Port[] {
    const numbers = new Set(this.servers.map(({ port }) => port));
    if (this.check.model.port !== undefined) numbers.add(this.check.model.port);
    return [...numbers].map((port) => Port.tcp(port));
  }

  /** Do clients come back to the server that knows them? */
  get isSticky(): boolean {
    return this.props.stickiness !== undefined;
  }

  /** States that the code declares, by server. */
  get declaredStates(): [string, string][] {
    return Object.entries(this.props.servers ?? {}).flatMap(([name, { state }]) =>
      state === undefined ? [] : [[name, state === "maintenance" ? "maint" : state]],
    );
  }

  /** @param encrypted every listener of this backend ends TLS: a cookie need never travel in the clear */
  model(encrypted: boolean): HaproxyBackend {
    const { props } = this;
    const { stickiness, algorithm = Algorithm.roundRobin() } = props;
    return {
      name: this.name,
      mode: this.mode,
      balance: algorithm.balance,
      consistentHash: algorithm.hashed,
      checkLines: this.check.model.lines,
      checkAuthorityFile: this.check.model.trusted === undefined ? undefined : this.checkAuthorityFile,
      checkIntervalSeconds: props.checkInterval ?? 2,
      cookie:
        stickiness?.model.cookie === undefined
          ? undefined
          : { name: stickiness.model.cookie, secure: encrypted },
      table: stickiness?.model.table,
      queueTimeoutSeconds: props.queueTimeout ?? 30,
      serverTimeoutSeconds: props.serverTimeout,
      tls: props.serverTls && {
        verify: props.serverTls.verify,
        authorityFile: props.serverTls.props.authority === undefined ? "@system-ca" : this.authorityFile,
        serverName: props.serverTls.props.serverName,
      },
      servers: this.servers.map((server) => this.serverModel(server)),
      extraLines: props.extraLines ?? [],
    };
  }

  /** Further files that the section names. */
  get authorities(): { path: string; text: string }[] {
    const files: [string, string | undefined][] = [
      [this.authorityFile, this.props.serverTls?.props.authority],
      [this.checkAuthorityFile, this.check.model.trusted],
    ];
    return files.flatMap(([path, text]) => (text === undefined ? [] : [{ path, text }]));
  }

  private get checkAuthorityFile(): string {
    return `/etc/haproxy/tls/${this.name}-check-authority.pem`;
  }

  private get authorityFile(): string {
    return `/etc/haproxy/tls/${this.name}-authority.pem`;
  }

  private serverModel({ name, address, port }: BalanceServer): HaproxyServer {
    const settings = this.props.servers?.[name] ?? {};
    return {
      name,
      address,
      port,
      id: stableServerId(name),
      weight: settings.weight ?? 100,
      backup: settings.backup ?? false,
      maximumConnections: settings.maximumConnections ?? this.props.maximumConnectionsPerServer,
      checkPort: this.check.model.port,
      slowStartSeconds: this.props.slowStart,
      proxyProtocol: this.props.proxyProtocol ?? false,
    };
  }

  private checkProps(): void {
    const { props, mode } = this;
    checkSectionName(this, "backend", this.name);
    if (!this.servers.length) {
      refuse(this, {
        code: "no-servers",
        what: "'to' has no servers",
        allowed: "one server at least; without any, every request is answered 503",
        fix: "give the servers, or leave the backend out",
      });
    }
    const ids = new Map<number, string>();
    for (const { name } of this.servers) {
      checkSectionName(this, "server", name);
      const same = ids.get(stableServerId(name));
      if (same !== undefined) {
        refuse(this, {
          code: same === name ? "duplicate-name" : "server-id-clash",
          what:
            same === name
              ? `two servers are called '${name}'`
              : `the servers '${same}' and '${name}' have one stable id`,
          allowed: "different names",
          fix: "rename one of them",
        });
      }
      ids.set(stableServerId(name), name);
    }
    for (const [name, settings] of Object.entries(props.servers ?? {})) {
      if (!this.serverNames.includes(name)) {
        refuse(this, {
          code: "unknown-server",
          what: `'servers' names '${name}'`,
          allowed: this.serverNames.join(", "),
          fix: "correct the name",
        });
      }
      checkCount(this, `servers.${name}.weight`, settings.weight, 0, 256, "HAProxy's own limit");
      checkCount(
        this,
        `servers.${name}.maximumConnections`,
        settings.maximumConnections,
        1,
        1e6,
        "at least one",
      );
    }
    if (mode === "tcp" && props.stickiness?.model.cookie !== undefined) {
      refuse(this, {
        code: "cookie-needs-http",
        what: "a sticky cookie on a tcp backend",
        allowed: "cookies where HTTP is read; for TCP the client's address",
        fix: 'Stickiness.sourceAddress(), or mode: "http" at the backend and its listeners',
      });
    }
    if (mode === "tcp" && props.algorithm?.httpOnly) {
      refuse(this, {
        code: "http-only",
        what: `the algorithm '${props.algorithm.balance}' on a tcp backend`,
        allowed: "roundRobin, leastConnections, random, first, sourceAddress",
        fix: 'choose one of them, or mode: "http" at the backend and its listeners',
      });
    }
    const { serverTls } = props;
    if (mode === "tcp" && serverTls?.verify && serverTls.props.serverName === undefined) {
      refuse(this, {
        code: "conflicting-setting",
        what: "verified TLS to the servers of a tcp backend, without 'serverName'",
        allowed:
          "a name: nothing in TCP tells which host the client wants, and any certificate of the authority would do",
        fix: "ServerTls.verified({ serverName: ... }) with the name that the servers' certificates are for",
      });
    }
    if (serverTls && this.check.model.trusted !== undefined) {
      refuse(this, {
        code: "conflicting-setting",
        what: "'serverTls' with a check that has authorities of its own",
        allowed: "one of both: HAProxy knows one list of authorities for a server",
        fix: "leave 'serverTls' out: clients speak TLS with the servers themselves",
      });
    }
    if (mode === "http" && this.check.model.kind === "postgresql") {
      refuse(this, {
        code: "mode-mismatch",
        what: "a PostgreSQL check on an http backend",
        allowed: "PostgreSQL goes over tcp",
        fix: 'mode: "tcp" at the backend and its listeners',
      });
    }
    for (const [name, value, low, high] of [
      ["checkInterval", props.checkInterval, 0.1, 3600],
      ["queueTimeout", props.queueTimeout, 0.1, 3600],
      ["serverTimeout", props.serverTimeout, 0.1, 7 * 86400],
      ["slowStart", props.slowStart, 0, 3600],
      ["drainTimeout", props.drainTimeout, 0, 3600],
    ] as const) {
      checkRange(this, name, value, low, high, "seconds");
    }
    checkPort(this, "serverPort", props.serverPort);
    const { table, cookie } = props.stickiness?.model ?? {};
    checkCount(this, "stickiness.minutes", table?.minutes, 1, 525_600, "whole minutes");
    checkCount(this, "stickiness.entries", table?.entries, 1, 1e8, "about 100 bytes each");
    if (cookie !== undefined) checkToken(this, "cookie", cookie);
    const serverName = props.serverTls?.props.serverName;
    if (serverName !== undefined) checkHost(this, "serverTls.serverName", serverName);
    const perServer = props.maximumConnectionsPerServer;
    checkCount(this, "maximumConnectionsPerServer", perServer, 1, 1e6, "connections; one at least");
  }
}

export function checkSectionName(scope: Construct, kind: string, name: string): void {
  if (/^[A-Za-z0-9_.-]{1,60}$/.test(name) && !name.startsWith("cdktf_ha")) return;
  refuse(scope, {
    code: "bad-name",
    what: `${kind} '${name}'`,
    allowed:
      "letters, digits, dot, dash and underscore, at most 60, not beginning with cdktf_ha: a word of haproxy.cfg",
    fix: "choose such a name",
  });
}
