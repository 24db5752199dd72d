import { isIp } from "../net";
import { isToken } from "../problem";
import { quoted } from "./health-check";

/** haproxy.cfg, from plain data in HAProxy's own vocabulary. Pure. */
export interface HaproxyModel {
  /** This node's name among the peers. */
  readonly node: string;
  readonly maximumConnections: number;
  /** Shown by `show env`: proof of which configuration the running process has read. */
  readonly fingerprint: string;
  readonly tls: boolean;
  readonly peers?: {
    readonly port: number;
    readonly members: readonly { readonly name: string; readonly address: string }[];
  };
  readonly stats?: {
    readonly address: string;
    readonly port: number;
    readonly user: string;
    readonly password: string;
  };
  readonly listeners: readonly HaproxyListener[];
  readonly backends: readonly HaproxyBackend[];
  readonly extraGlobalLines: readonly string[];
}

export interface HaproxyListener {
  readonly name: string;
  readonly mode: "http" | "tcp";
  readonly addresses: readonly string[];
  readonly port: number;
  readonly redirectFromPort?: number;
  readonly tls?: {
    readonly certificateFiles: readonly string[];
    readonly minimumVersion: string;
    readonly http2: boolean;
    readonly hstsSeconds: number;
    readonly clientAuthoritiesFile?: string;
  };
  readonly passthrough: boolean;
  readonly maximumConnections?: number;
  readonly forwardedHeaders: boolean;
  readonly acceptProxyProtocol: boolean;
  readonly hideHeaders: readonly string[];
  readonly clientTimeoutSeconds?: number;
  readonly routes: readonly HaproxyRoute[];
  readonly defaultBackend: string;
  readonly extraLines: readonly string[];
}

export interface HaproxyRoute {
  readonly host?: string;
  readonly path?: string;
  readonly backend: string;
}

export interface HaproxyBackend {
  readonly name: string;
  readonly mode: "http" | "tcp";
  readonly balance: string;
  readonly consistentHash: boolean;
  readonly checkLines: readonly string[];
  readonly checkIntervalSeconds: number;
  /** Authorities of a check that goes by TLS where the connections themselves do not. */
  readonly checkAuthorityFile?: string;
  readonly cookie?: { readonly name: string; readonly secure: boolean };
  readonly table?: { readonly minutes: number; readonly entries: number };
  readonly queueTimeoutSeconds: number;
  readonly serverTimeoutSeconds?: number;
  readonly tls?: { readonly verify: boolean; readonly authorityFile: string; readonly serverName?: string };
  readonly servers: readonly HaproxyServer[];
  readonly extraLines: readonly string[];
}

export interface HaproxyServer {
  readonly name: string;
  readonly address: string;
  readonly port: number;
  readonly id: number;
  readonly weight: number;
  readonly backup: boolean;
  readonly maximumConnections?: number;
  readonly checkPort?: number;
  readonly slowStartSeconds?: number;
  readonly proxyProtocol: boolean;
}

export const ADMIN_SOCKET = "/run/haproxy/admin.sock";
export const ANSWERS_SOCKET = "/run/haproxy/answers.sock";
export const STATE_FILE = "/var/lib/haproxy/server-state";
const PEERS = "cdktf_ha_peers";
const RESOLVERS = "cdktf_ha_resolvers";
/** Idle time of a TCP connection: databases keep theirs open between requests, browsers their websockets. */
const TCP_IDLE_SECONDS = 3600;

export function renderHaproxyCfg(model: HaproxyModel): string {
  const sections = [
    ["# Rendered by cdktf-ha-clusters. A change by hand is kept aside and replaced at the next apply."],
    globalSection(model),
    defaultsSection(),
    ...(model.peers ? [peersSection(model.peers)] : []),
    ...(model.backends.some(({ servers }) => servers.some(hasName)) ? [resolversSection()] : []),
    ...(model.stats ? statsSections(model.stats) : []),
    ...model.listeners.map(listenerSection),
    ...model.backends.map((backend) => backendSection(backend, model.peers !== undefined)),
  ];
  return sections.map((lines) => lines.join("\n") + "\n").join("\n");
}

function section(name: string, lines: readonly string[]): string[] {
  return [name, ...lines.map((line) => `    ${line}`)];
}

function globalSection(model: HaproxyModel): string[] {
  return section("global", [
    "# to the journal; never as an emergency, which would be written to every terminal",
    "log stdout format short daemon info alert",
    "chroot /var/lib/haproxy",
    "user haproxy",
    "group haproxy",
    `maxconn ${model.maximumConnections}`,
    "# a reload hands the listening sockets over: no connection is refused",
    `stats socket ${ADMIN_SOCKET} mode 660 level admin expose-fd listeners`,
    "# for the check whether haproxy answers, which runs as an ordinary user",
    `stats socket ${ANSWERS_SOCKET} mode 666 level user`,
    "stats timeout 30s",
    `server-state-file ${STATE_FILE}`,
    "# connections that outlive a reload by this time are closed with the old process",
    "hard-stop-after 30m",
    `setenv CDKTF_HA_FINGERPRINT ${model.fingerprint}`,
    ...(model.peers ? [`localpeer ${model.node}`] : []),
    ...(model.tls
      ? [
          "ssl-default-bind-options no-tls-tickets",
          "ssl-default-bind-ciphers ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305",
          "ssl-default-server-options ssl-min-ver TLSv1.2",
        ]
      : []),
    ...model.extraGlobalLines,
  ]);
}

function defaultsSection(): string[] {
  return section("defaults", [
    "log global",
    "option dontlognull",
    "option redispatch",
    "retries 3",
    "# connections that say nothing for long: is the other side still there?",
    ...["cli", "srv"].flatMap((side) => [
      `option ${side}tcpka`,
      `${side}tcpka-idle 60s`,
      `${side}tcpka-intvl 10s`,
      `${side}tcpka-cnt 3`,
    ]),
    "load-server-state-from-file global",
    "# what a machine without power costs each request that is sent to it before the checks have found out",
    "timeout connect 2s",
    "timeout client 50s",
    "timeout server 50s",
    "timeout http-request 10s",
    "timeout http-keep-alive 10s",
    "timeout check 2s",
  ]);
}

function peersSection({ port, members }: NonNullable<HaproxyModel["peers"]>): string[] {
  return section(
    `peers ${PEERS}`,
    members.map(({ name, address }) => `peer ${name} ${hostPort(address, port)}`),
  );
}

/** Has it an address that somebody has to be asked for? One that only Terraform knows is taken for an address. */
const hasName = ({ address }: HaproxyServer): boolean => !isToken(address) && !isIp(address);

/** The machine's own name servers: asked again and again, so that an address may change. */
function resolversSection(): string[] {
  return section(`resolvers ${RESOLVERS}`, [
    "parse-resolv-conf",
    "accepted_payload_size 4096",
    "timeout retry 1s",
    "hold valid 10s",
    "# while nobody answers the last address stays",
    "hold timeout 24h",
    "hold refused 24h",
    "hold other 24h",
  ]);
}

function statsSections({ address, port, user, password }: NonNullable<HaproxyModel["stats"]>): string[][] {
  return [
    section("userlist cdktf_ha_stats_users", [`user ${quoted(user)} insecure-password '${password}'`]),
    section("frontend cdktf_ha_stats", [
      `bind ${hostPort(address, port)}`,
      "mode http",
      "no log",
      "http-request auth realm statistics unless { http_auth(cdktf_ha_stats_users) }",
      "http-request use-service prometheus-exporter if { path /metrics }",
      "stats enable",
      "stats uri /",
      "stats refresh 10s",
    ]),
  ];
}

function listenerSection(listener: HaproxyListener): string[] {
  const { mode, tls } = listener;
  const bind = (port: number, options: string): string[] =>
    listener.addresses.map(
      (address) => `bind ${hostPort(address, port)}${address === "::" ? " v6only" : ""}${options}`,
    );
  const tlsOptions = tls
    ? ` ssl ${tls.certificateFiles.map((file) => `crt ${file}`).join(" ")} ssl-min-ver ${tls.minimumVersion}` +
      (mode === "http" ? ` alpn ${tls.http2 ? "h2,http/1.1" : "http/1.1"}` : "") +
      (tls.clientAuthoritiesFile ? ` ca-file ${tls.clientAuthoritiesFile} verify required` : "")
    : "";
  const proxy = listener.acceptProxyProtocol ? " accept-proxy" : "";
  return section(`frontend ${listener.name}`, [
    ...bind(listener.port, proxy + tlsOptions),
    ...(listener.redirectFromPort === undefined ? [] : bind(listener.redirectFromPort, proxy)),
    `mode ${mode}`,
    mode === "http" ? "option httplog" : "option tcplog",
    ...(listener.maximumConnections === undefined ? [] : [`maxconn ${listener.maximumConnections}`]),
    ...timeout("client", listener.clientTimeoutSeconds ?? (mode === "tcp" ? TCP_IDLE_SECONDS : undefined)),
    ...(listener.redirectFromPort === undefined
      ? []
      : [
          `http-request redirect prefix https://%[req.hdr(host),host_only]${listener.port === 443 ? "" : `:${listener.port}`} code 301 unless { ssl_fc }`,
        ]),
    ...(listener.forwardedHeaders ? FORWARDED_HEADERS : []),
    ...(tls?.hstsSeconds
      ? [`http-response set-header Strict-Transport-Security max-age=${tls.hstsSeconds} if { ssl_fc }`]
      : []),
    ...listener.hideHeaders.map((header) => `http-response del-header ${quoted(header)}`),
    ...(listener.passthrough
      ? ["tcp-request inspect-delay 5s", "tcp-request content accept if { req.ssl_hello_type 1 }"]
      : []),
    ...listener.extraLines,
    ...listener.routes.flatMap((route) => routeLines(route, listener.passthrough)),
    `default_backend ${listener.defaultBackend}`,
  ]);
}

/**
 * What a client says of itself in these headers is dropped: servers may trust what they read there, and some believe the
 * standard's own header (RFC 7239) more than the others.
 */
const FORWARDED_HEADERS = [
  "http-request del-header Forwarded",
  "http-request set-header X-Forwarded-For %[src]",
  "http-request set-header X-Forwarded-Proto https if { ssl_fc }",
  "http-request set-header X-Forwarded-Proto http if !{ ssl_fc }",
  "http-request set-header X-Forwarded-Host %[req.hdr(host)]",
  "http-request set-header X-Forwarded-Port %[dst_port]",
];

function routeLines({ host, path, backend }: HaproxyRoute, passthrough: boolean): string[] {
  const asked = passthrough ? "req.ssl_sni" : "req.hdr(host),host_only";
  const wildcard = host?.startsWith("*.");
  const hostCondition =
    host === undefined ? "" : `{ ${asked} -i ${wildcard ? `-m end ${host.slice(1)}` : `-m str ${host}`} } `;
  if (path === undefined) return [`use_backend ${backend} if ${hostCondition.trim()}`];
  const below = path.endsWith("/") ? path : `${path}/`;
  return [
    ...(path === below ? [] : [`use_backend ${backend} if ${hostCondition}{ path -m str ${quoted(path)} }`]),
    `use_backend ${backend} if ${hostCondition}{ path -m beg ${quoted(below)} }`,
  ];
}

function backendSection(backend: HaproxyBackend, peers: boolean): string[] {
  const { mode } = backend;
  const interval = `inter ${duration(backend.checkIntervalSeconds)} fastinter ${duration(Math.min(0.5, backend.checkIntervalSeconds))} fall 2 rise 2`;
  const backups = backend.servers.filter((server) => server.backup).length;
  return section(`backend ${backend.name}`, [
    `mode ${mode}`,
    `balance ${backend.balance}`,
    ...(backend.consistentHash ? ["hash-type consistent"] : []),
    ...(mode === "http"
      ? [
          "# a server that died under a request: another one answers, if asking twice does no harm",
          "retry-on conn-failure empty-response",
          "http-request disable-l7-retry unless { method GET HEAD OPTIONS }",
          ...timeout("tunnel", TCP_IDLE_SECONDS),
          "# a machine that died under a request: is it still there?",
          "srvtcpka-idle 5s",
          "srvtcpka-intvl 1s",
        ]
      : []),
    ...(backups > 1 ? ["option allbackups"] : []),
    ...timeout("queue", backend.queueTimeoutSeconds),
    ...timeout("server", backend.serverTimeoutSeconds ?? (mode === "tcp" ? TCP_IDLE_SECONDS : undefined)),
    ...backend.checkLines,
    ...(backend.cookie === undefined
      ? []
      : [
          `cookie ${quoted(backend.cookie.name)} insert indirect nocache httponly${backend.cookie.secure ? " secure" : ""} attr SameSite=Lax`,
        ]),
    ...(backend.table
      ? [
          `stick-table type ipv6 size ${backend.table.entries} expire ${backend.table.minutes}m${peers ? ` peers ${PEERS}` : ""}`,
          "stick on src",
        ]
      : []),
    ...backend.extraLines,
    // A database that is no longer the primary must not be written to. But HTTP requests to a server that is down may
    // still be answered, and those that wait for a connection go to another one: cutting them would make them fail. They
    // end when the machine itself has not answered for eight seconds, to data or to probes.
    `default-server ${interval} weight 100 ${mode === "tcp" ? "on-marked-down shutdown-sessions" : "tcp-ut 8s"}${tlsWords(backend)}`,
    ...backend.servers.map((server) => serverLine(server, backend.cookie !== undefined)),
  ]);
}

function tlsWords({ tls, mode, checkAuthorityFile }: HaproxyBackend): string {
  if (checkAuthorityFile !== undefined) return ` check-ssl verify required ca-file ${checkAuthorityFile}`;
  if (!tls) return "";
  const name =
    tls.serverName === undefined
      ? mode === "http"
        ? "req.hdr(host),host_only"
        : undefined
      : `str(${tls.serverName})`;
  return (
    (tls.verify ? ` ssl verify required ca-file ${tls.authorityFile}` : " ssl verify none") +
    (name === undefined ? "" : ` sni ${name}`) +
    (tls.serverName === undefined ? "" : ` check-sni ${quoted(tls.serverName)}`)
  );
}

function serverLine(server: HaproxyServer, cookie: boolean): string {
  return [
    `server ${server.name} ${hostPort(server.address, server.port)} id ${server.id} check`,
    // one name that is not known at a start would keep all of HAProxy from it
    ...(hasName(server) ? [`resolvers ${RESOLVERS} resolve-prefer ipv4 init-addr libc,none`] : []),
    ...(server.checkPort === undefined ? [] : [`port ${server.checkPort}`]),
    ...(server.weight === 100 ? [] : [`weight ${server.weight}`]),
    ...(server.maximumConnections === undefined ? [] : [`maxconn ${server.maximumConnections}`]),
    ...(cookie ? [`cookie ${server.name}`] : []),
    ...(server.slowStartSeconds ? [`slowstart ${duration(server.slowStartSeconds)}`] : []),
    ...(server.proxyProtocol ? ["send-proxy-v2"] : []),
    ...(server.backup ? ["backup"] : []),
  ].join(" ");
}

function timeout(name: string, seconds: number | undefined): string[] {
  return seconds === undefined ? [] : [`timeout ${name} ${duration(seconds)}`];
}

function duration(seconds: number): string {
  return Number.isInteger(seconds) ? `${seconds}s` : `${Math.round(seconds * 1000)}ms`;
}

function hostPort(address: string, port: number): string {
  return address.includes(":") && !address.includes("$") ? `[${address}]:${port}` : `${address}:${port}`;
}
