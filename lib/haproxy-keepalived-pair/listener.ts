import { Construct } from "constructs";
import type { Peer } from "../firewall/peer";
import { checkPort, Port } from "../firewall/port";
import { checkCount, checkRange, refuse } from "../problem";
import type { Secret } from "../secret/secret";
import { checkToken } from "./health-check";
import { checkSectionName, type Backend } from "./backend";
import type { HaproxyListener, HaproxyRoute } from "./haproxy-cfg";
import type { Tls } from "./tls";

/** Which requests go to a backend. Both conditions hold where both are given; the first route that fits is taken. */
export interface RouteProps {
  /** Host name as the client asked for it; with TLS passthrough the name in its greeting (SNI). @default - any */
  readonly host?: string;
  /** Path and everything below it: `/api` is `/api` and `/api/...`, not `/apiary`. @default - any */
  readonly path?: string;
}

export interface ListenerProps {
  readonly port: number;
  /** @default - the default backend's */
  readonly mode?: "http" | "tcp";
  /** Who may connect. @default - nobody: `pair.connections.allowFrom(...)` opens it later */
  readonly clients?: readonly Peer[];
  /** @default - plain */
  readonly tls?: Tls;
  /** Port whose plain HTTP requests are sent here by a redirect. @default - none; 80 is the usual one */
  readonly redirectFromPort?: number;
  /** Only on this virtual IP of the pair, by its group's name. @default - on every address of the node */
  readonly virtualIp?: string;
  /** Connections at a time. @default - the pair's */
  readonly maximumConnections?: number;
  /**
   * Tell servers who asked and how: X-Forwarded-For, -Proto, -Host and -Port. What the client claims in these headers, or
   * in Forwarded, is dropped first.
   * @default true for http
   */
  readonly forwardedHeaders?: boolean;
  /** Clients come through another proxy that speaks the PROXY protocol. @default false */
  readonly acceptProxyProtocol?: boolean;
  /** Response headers to take away: what tells about servers. @default none */
  readonly hideHeaders?: readonly string[];
  /** Seconds an http client may stay silent between bytes, a tcp client at all. @default 50 for http, 3600 for tcp */
  readonly clientTimeout?: number;
  /** Further lines of the frontend section, as they are. @default none */
  readonly extraLines?: readonly string[];
}

/** A port of the pair, and where its requests go. */
export class Listener extends Construct {
  readonly mode: "http" | "tcp";
  private readonly routes: { readonly props: RouteProps; readonly backend: Backend }[] = [];

  constructor(
    scope: Construct,
    readonly name: string,
    readonly props: ListenerProps,
    private readonly defaultBackend: Backend,
  ) {
    super(scope, `listener-${name}`);
    this.mode = props.mode ?? defaultBackend.mode;
    this.checkProps();
    this.checkBackend(defaultBackend);
  }

  /** Ports of the node that this listener needs. */
  get ports(): Port[] {
    const { port, redirectFromPort } = this.props;
    return [port, ...(redirectFromPort === undefined ? [] : [redirectFromPort])].map((number) =>
      Port.tcp(number),
    );
  }

  get certificates(): readonly Secret[] {
    const { tls } = this.props;
    return tls && tls.certificates !== "passthrough" ? tls.certificates : [];
  }

  get clientAuthorities(): { path: string; text: string } | undefined {
    const text = this.props.tls?.props.clientAuthorities;
    return text === undefined ? undefined : { path: `/etc/haproxy/tls/${this.name}-clients.pem`, text };
  }

  certificateFile(index: number): string {
    return `/etc/haproxy/tls/${this.name}-${index + 1}.pem`;
  }

  /** Does the listener send requests to this backend? */
  uses(backend: Backend): boolean {
    return backend === this.defaultBackend || this.routes.some((route) => route.backend === backend);
  }

  /** Sends some of the requests elsewhere. */
  route(props: RouteProps, backend: Backend): this {
    this.checkBackend(backend);
    if (props.host === undefined && props.path === undefined) {
      refuse(this, {
        code: "conflicting-setting",
        what: "a route without a host and without a path",
        allowed: "one of them at least: everything else goes to the default backend",
        fix: "give the route a condition",
      });
    }
    if (props.host !== undefined && !/^(\*\.)?[a-z0-9]([a-z0-9.-]*[a-z0-9])?$/i.test(props.host)) {
      refuse(this, {
        code: "bad-name",
        what: `route for the host '${props.host}'`,
        allowed: "a host name, or *. and a domain for every name below it",
        fix: "without a scheme, a port or a path",
      });
    }
    if (props.path !== undefined && !/^\/[\x21-\x7e]*$/.test(props.path)) {
      refuse(this, {
        code: "bad-path",
        what: `route for the path '${props.path}'`,
        allowed: "a path from / on",
        fix: "percent-encode it",
      });
    }
    if (props.path !== undefined && this.mode === "tcp") {
      refuse(this, {
        code: "http-only",
        what: `a route by path ('${props.path}') on a tcp listener`,
        allowed: "a path where HTTP is read; with TLS passthrough only the host name is seen",
        fix: "leave 'path' out, or end TLS here",
      });
    }
    const passthrough = this.props.tls?.certificates === "passthrough";
    if (props.host !== undefined && this.mode === "tcp" && !passthrough) {
      refuse(this, {
        code: "http-only",
        what: `a route by host ('${props.host}') on a tcp listener without TLS`,
        allowed: "host names are in HTTP and in the greeting of TLS, nowhere else",
        fix: 'tls: Tls.passthrough() at the listener, or mode: "http" there and at its backends',
      });
    }
    this.routes.push({ props, backend });
    return this;
  }

  /** @param bindAddresses `*` and `::` for every address of the node */
  model(bindAddresses: readonly string[]): HaproxyListener {
    const { props } = this;
    const tls = props.tls;
    return {
      name: this.name,
      mode: this.mode,
      addresses: bindAddresses,
      port: props.port,
      redirectFromPort: props.redirectFromPort,
      tls:
        tls && tls.certificates !== "passthrough"
          ? {
              certificateFiles: tls.certificates.map((_, index) => this.certificateFile(index)),
              minimumVersion: tls.props.minimumVersion ?? "TLSv1.2",
              http2: (tls.props.http2 ?? true) && this.mode === "http",
              hstsSeconds: this.mode === "http" ? (tls.props.hstsSeconds ?? 31_536_000) : 0,
              clientAuthoritiesFile: this.clientAuthorities?.path,
            }
          : undefined,
      passthrough: tls?.certificates === "passthrough",
      maximumConnections: props.maximumConnections,
      forwardedHeaders: this.mode === "http" && (props.forwardedHeaders ?? true),
      acceptProxyProtocol: props.acceptProxyProtocol ?? false,
      hideHeaders: props.hideHeaders ?? [],
      clientTimeoutSeconds: props.clientTimeout,
      routes: this.routes.map(({ props: route, backend }): HaproxyRoute => ({
        ...route,
        backend: backend.name,
      })),
      defaultBackend: this.defaultBackend.name,
      extraLines: props.extraLines ?? [],
    };
  }

  private checkBackend(backend: Backend): void {
    if (backend.node.scope !== this.node.scope) {
      refuse(this, {
        code: "foreign-backend",
        what: `the backend '${backend.name}' is of ${backend.node.scope!.node.path}`,
        allowed: "backends of the listener's own pair: its file has no other, and servers let nobody else in",
        fix: "make one by backend(...) of this pair, to the same servers",
      });
    }
    if (backend.mode === this.mode) return;
    refuse(this, {
      code: "mode-mismatch",
      what: `the listener is ${this.mode}, the backend '${backend.name}' is ${backend.mode}`,
      allowed: "the same mode on both sides",
      fix: `mode: "${backend.mode}" at the listener, or a backend of its own`,
    });
  }

  private checkProps(): void {
    const { props, mode } = this;
    checkSectionName(this, "listener", this.name);
    checkPort(this, "port", props.port);
    checkPort(this, "redirectFromPort", props.redirectFromPort);
    if (props.tls && props.tls.certificates !== "passthrough" && !props.tls.certificates.length) {
      refuse(this, {
        code: "tls-without-certificate",
        what: "'tls' has no certificate",
        allowed: "one Secret at least, with certificate, chain and key as PEM",
        fix: "Tls.certificate(Secret.variable(...)), or Tls.passthrough()",
      });
    }
    if (props.tls?.certificates === "passthrough" && mode !== "tcp") {
      refuse(this, {
        code: "mode-mismatch",
        what: "TLS passthrough on an http listener",
        allowed: "tcp: what goes through encrypted cannot be read as HTTP",
        fix: 'mode: "tcp" at the listener and its backends',
      });
    }
    const needHttp = (name: string, given: boolean): void => {
      if (!given || mode === "http") return;
      refuse(this, {
        code: "http-only",
        what: `'${name}' on a tcp listener`,
        allowed: "only where HTTP is read",
        fix: 'leave it out, or mode: "http" at the listener and its backends',
      });
    };
    needHttp("forwardedHeaders", props.forwardedHeaders === true);
    needHttp("hideHeaders", (props.hideHeaders ?? []).length > 0);
    needHttp("redirectFromPort", props.redirectFromPort !== undefined);
    if (props.redirectFromPort !== undefined && !props.tls) {
      refuse(this, {
        code: "conflicting-setting",
        what: "'redirectFromPort' without 'tls'",
        allowed: "a redirect leads from HTTP to HTTPS",
        fix: "give the listener a certificate",
      });
    }
    for (const header of props.hideHeaders ?? []) checkToken(this, "header", header);
    checkCount(this, "maximumConnections", props.maximumConnections, 1, 1e7, "at least one");
    checkRange(this, "clientTimeout", props.clientTimeout, 0.1, 7 * 86400, "seconds");
  }
}
