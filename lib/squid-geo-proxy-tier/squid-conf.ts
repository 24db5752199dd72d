import type { LogCollector } from "./log-collector";
import { siblingLines, siblingPortLines, type SquidSiblings } from "./squid-siblings";
import { claimLines } from "./visitor-claims";

/** squid.conf of one node, from plain data. Pure. For Squid 5.7 and 6, built with OpenSSL. */
export interface SquidModel {
  /** This node's name: what loops are found by. */
  readonly node: string;
  /** Shown in error pages instead of a machine's name. */
  readonly tier: string;
  /** Shown on {@link STATE_PATH}: proof of which configuration the running process has read. */
  readonly fingerprint: string;
  /** Host names that are served; with a leading dot all below it too. */
  readonly sites: readonly string[];
  /** For requests that name no host. */
  readonly defaultSite: string;
  readonly httpPort?: number;
  readonly https: readonly SquidHttps[];
  /** Port of siblings and administrators, on this address and on the loopback interface. */
  readonly internal: { readonly port: number; readonly address?: string };
  readonly siblings?: SquidSiblings;
  /** Names of the tier's nodes, where a request that came round is found out by them. */
  readonly everyNode: readonly string[];
  readonly pools: readonly SquidPool[];
  /** Networks that may ask the cache manager. The machine itself always may. */
  readonly managers: readonly string[];
  /** Networks that may remove objects by PURGE. The machine itself always may. */
  readonly purgers: readonly string[];
  /** Networks whose requests are not logged. */
  readonly monitoring: readonly string[];
  /** Where lines of the access log go besides the file. */
  readonly collector?: LogCollector;
  readonly hideHeaders: readonly string[];
  readonly hstsSeconds: number;
  /** Directory of the site's own error pages. */
  readonly splashDirectory?: string;
  /** Seconds for which no origin may answer. */
  readonly giveUpSeconds: number;
  readonly maximumObjectMiB: number;
  readonly maximumObjectInMemoryKiB: number;
  readonly staleIfErrorSeconds: number;
  readonly negativeTtlSeconds: number;
  readonly collapsedForwarding: boolean;
  readonly refresh: readonly SquidRefresh[];
  readonly openFiles: number;
  readonly extraLines: readonly string[];
}

export interface SquidHttps {
  /** Nothing means every address of the node. */
  readonly address?: string;
  readonly port: number;
  readonly certificateFile: string;
  readonly minimumVersion: "TLSv1.2" | "TLSv1.3";
}

export interface SquidPool {
  readonly name: string;
  /** Nothing means every host. */
  readonly hosts: readonly string[];
  /** Nothing means every path. */
  readonly paths: readonly string[];
  readonly selection: "round-robin" | "sourcehash";
  readonly connectTimeoutSeconds: number;
  readonly connectFailLimit: number;
  readonly tls?: { readonly verify: boolean; readonly authorityFile?: string; readonly serverName?: string };
  readonly origins: readonly SquidOrigin[];
}

export interface SquidOrigin {
  readonly name: string;
  readonly address: string;
  readonly port: number;
  readonly weight: number;
  /** Asked only when no other origin of the pool can be. */
  readonly standby: boolean;
}

export interface SquidRefresh {
  /** `-i` and a regular expression, as squid.conf has it. */
  readonly pattern: string;
  readonly minimumMinutes: number;
  readonly percent: number;
  readonly maximumMinutes: number;
  readonly options: readonly string[];
}

export const SQUID_CONF = "/etc/squid/squid.conf";
/** Cache sizes and workers: what Squid reads once, at its start. */
export const STORE_CONF = "/etc/squid/cdktf-ha-store.conf";
/** Answered by Squid itself, on the internal port and for this machine alone. */
export const STATE_PATH = "/cdktf-ha-state";
/** Template of the page that takes the place of an origin's own 502, 503 and 504. */
export const SPLASH_PAGE = "ERR_CDKTF_HA_SITE_DOWN";
/** Forward secrecy and authenticated encryption only; TLS 1.3 has its own. */
const CIPHERS =
  "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305";
/** Statuses by which an origin says that it cannot serve. */
const DOWN = [502, 503, 504];

export function renderSquidConf(model: SquidModel): string {
  const sections = [
    ["# Rendered by cdktf-ha-clusters. A change by hand is kept aside and replaced at the next apply."],
    portLines(model),
    identityLines(model),
    aclLines(model),
    accessLines(model),
    siblingLines(model.siblings, model.internal.port),
    ...model.pools.map((pool, index) => poolLines(pool, model.pools.slice(0, index))),
    forwardingLines(model),
    cacheLines(model),
    replyLines(model),
    logLines(model),
    model.extraLines,
  ];
  return sections
    .filter((lines) => lines.length)
    .map((lines) => lines.join("\n") + "\n")
    .join("\n");
}

function portLines({ internal, defaultSite, httpPort, https, siblings }: SquidModel): string[] {
  const site = `defaultsite=${defaultSite}`;
  return [
    "# the first port is the one on which the cache manager answers",
    `http_port 127.0.0.1:${internal.port} accel name=internal_local ${site}`,
    ...(internal.address === undefined
      ? []
      : [`http_port ${hostPort(internal.address, internal.port)} accel name=internal ${site}`]),
    ...(httpPort === undefined ? [] : [`http_port ${httpPort} accel name=public_http ${site}`]),
    ...https.map(({ address, port, certificateFile, minimumVersion }, index) =>
      [
        `https_port ${address === undefined ? port : hostPort(address, port)} accel name=public_https_${index + 1} ${site}`,
        `tls-cert=${certificateFile}`,
        `options=NO_SSLv3,NO_TLSv1,NO_TLSv1_1${minimumVersion === "TLSv1.3" ? ",NO_TLSv1_2" : ""},NO_TICKET`,
        `cipher=${CIPHERS}`,
      ].join(" "),
    ),
    ...siblingPortLines(siblings),
  ];
}

function identityLines({ tier, node, openFiles }: SquidModel): string[] {
  return [
    `visible_hostname ${tier}`,
    "# by this a node knows its own name in a request that came round",
    `unique_hostname ${node}`,
    `max_filedescriptors ${openFiles}`,
    "# a stop or a rebuild waits so long for requests under way",
    "shutdown_lifetime 5 seconds",
    "pinger_enable off",
    "# for helpers that there are none of, Squid 5 would look up the name of every visitor",
    'url_rewrite_extras "%>a"',
    'store_id_extras "%>a"',
    "# pages and icons of Squid's own are for nobody",
    "global_internal_static off",
    "digest_generation off",
    "coredump_dir /var/spool/squid",
  ];
}

function aclLines(model: SquidModel): string[] {
  const { siblings, managers, purgers, monitoring, internal, https, httpPort } = model;
  const networks = (name: string, all: readonly string[]): string[] =>
    all.length ? [`acl ${name} src ${all.join(" ")}`] : [];
  return [
    `acl sites dstdomain -n ${withoutCovered(model.sites).join(" ")}`,
    `acl internal_port myportname internal_local${internal.address === undefined ? "" : " internal"}`,
    ...(httpPort === undefined ? [] : ["acl public_http myportname public_http"]),
    ...(https.length
      ? [`acl public_https myportname ${https.map((_, index) => `public_https_${index + 1}`).join(" ")}`]
      : []),
    "acl with_request has request",
    "acl http_scheme proto HTTP",
    "acl https_scheme proto HTTPS",
    `acl usual_ports port ${[...new Set([httpPort, ...https.map(({ port }) => port)])].filter(Boolean).join(" ")}`,
    "acl purging method PURGE",
    "acl refused_methods method CONNECT TRACE TRACK",
    "acl kept_methods method GET HEAD",
    "acl with_length req_header Content-Length ^0*[1-9]",
    "acl with_chunks req_header Transfer-Encoding .",
    `acl state_page urlpath_regex ^${STATE_PATH}$`,
    ...(isCarp(model)
      ? [`acl came_round req_header Via [[:space:]](${model.everyNode.map(escaped).join("|")})[[:space:]]`]
      : []),
    ...networks("siblings", siblings?.nodes.map(({ address }) => address) ?? []),
    ...networks("managers", managers),
    ...networks("purgers", purgers),
    ...networks("monitoring", monitoring),
    ...model.pools.flatMap(({ name, hosts, paths }) => [
      ...(hosts.length ? [`acl ${name}_hosts dstdomain -n ${withoutCovered(hosts).join(" ")}`] : []),
      ...(paths.length ? [`acl ${name}_paths urlpath_regex ${paths.map(pathPattern).join(" ")}`] : []),
    ]),
    ...(model.splashDirectory === undefined
      ? []
      : DOWN.map((status) => `acl origin_says_${status} http_status ${status}`)),
  ];
}

/** Who may ask for what, in the order in which Squid reads it: the first line that fits decides. */
function accessLines(model: SquidModel): string[] {
  const { httpPort, https, siblings } = model;
  return [
    "# which configuration runs: a redirect whose target holds its fingerprint",
    "http_access deny state_page internal_port localhost",
    `deny_info 303:http://state.invalid/${model.fingerprint} localhost`,
    "http_access allow manager internal_port localhost",
    ...(model.managers.length ? ["http_access allow manager internal_port managers"] : []),
    "http_access deny manager",
    "http_access deny !sites",
    "http_access allow purging internal_port localhost",
    ...(model.purgers.length ? ["http_access allow purging internal_port purgers"] : []),
    "http_access deny purging",
    "http_access deny refused_methods",
    "# the answer to what a body says would be kept for everybody who asks without",
    "http_access deny kept_methods with_length",
    "http_access deny kept_methods with_chunks",
    ...(isCarp(model) ? ["http_access deny !internal_port came_round"] : []),
    "http_access deny !usual_ports",
    "# a whole URL in the request must not claim another protocol than the connection's: origins are told by it",
    ...(httpPort === undefined ? [] : ["http_access deny public_http !http_scheme"]),
    ...(https.length ? ["http_access deny public_https !https_scheme"] : []),
    ...(siblings ? ["http_access allow internal_port siblings"] : []),
    "http_access deny internal_port",
    "http_access allow sites",
    "http_access deny all",
    ...(siblings && !isCarp(model)
      ? ["# what a sibling asks for is answered from the cache or not at all", "miss_access deny siblings"]
      : []),
    "miss_access allow all",
  ];
}

function poolLines(pool: SquidPool, earlier: readonly SquidPool[]): string[] {
  const { name, hosts, paths, tls } = pool;
  const conditions = conditionsOf(pool);
  const tlsWords = tls
    ? [
        // tls-min-version says the same, and is complained about by 5.7
        "tls tls-options=NO_SSLv3,NO_TLSv1,NO_TLSv1_1",
        ...(tls.authorityFile === undefined ? [] : [`tls-default-ca=off tls-cafile=${tls.authorityFile}`]),
        ...(tls.serverName === undefined ? [] : [`ssldomain=${tls.serverName}`]),
        ...(tls.verify ? [] : ["sslflags=DONT_VERIFY_PEER,DONT_VERIFY_DOMAIN"]),
      ]
    : [];
  return [
    `# pool ${name}${hosts.length + paths.length ? `: ${[...hosts, ...paths].join(" ")}` : ": everything else"}`,
    ...pool.origins.map((origin) =>
      [
        `cache_peer ${origin.address} parent ${origin.port} 0 originserver no-query no-digest no-netdb-exchange`,
        ...(origin.standby
          ? []
          : [pool.selection, ...(origin.weight === 1 ? [] : [`weight=${origin.weight}`])]),
        "login=PASS",
        `connect-timeout=${pool.connectTimeoutSeconds} connect-fail-limit=${pool.connectFailLimit}`,
        ...tlsWords,
        `name=${name}-${origin.name}`,
      ].join(" "),
    ),
    ...pool.origins.flatMap((origin) => {
      const access = `cache_peer_access ${name}-${origin.name}`;
      return [
        ...earlier
          .filter((other) => conditionsOf(other))
          .map((other) => `${access} deny ${conditionsOf(other)}`),
        `${access} allow ${conditions || "all"}`,
        ...(conditions ? [`${access} deny all`] : []),
      ];
    }),
  ];
}

/** ACLs that must all hold for a request to belong to the pool; nothing for a pool that takes every request. */
function conditionsOf({ name, hosts, paths }: SquidPool): string {
  return [hosts.length ? `${name}_hosts` : "", paths.length ? `${name}_paths` : ""].filter(Boolean).join(" ");
}

function forwardingLines(model: SquidModel): string[] {
  return [
    "never_direct allow all",
    "# how long a visitor waits before the error page, when no origin answers",
    `forward_timeout ${model.giveUpSeconds} seconds`,
    `read_timeout ${model.giveUpSeconds} seconds`,
    "# only the address that connected: what a client wrote there itself is dropped",
    ...(isCarp(model)
      ? [
          "# between nodes it stays as the first one wrote it",
          "forwarded_for transparent",
          ...claimLines("!internal_port", true),
          ...publicPorts(model).map((port) => `request_header_add X-Forwarded-For "%>a" ${port}`),
          "# a node that asks itself would take that for a loop",
          "request_header_access Via deny !internal_port kept_methods",
        ]
      : ["forwarded_for truncate", ...claimLines("all", false)]),
    ...(model.httpPort === undefined ? [] : ["request_header_add X-Forwarded-Proto http public_http"]),
    ...(model.https.length
      ? [
          "request_header_add X-Forwarded-Proto https public_https",
          "request_header_add Front-End-Https On public_https",
        ]
      : []),
  ];
}

function cacheLines(model: SquidModel): string[] {
  return [
    "# before the cache's directories, which read it",
    `maximum_object_size ${model.maximumObjectMiB} MB`,
    `maximum_object_size_in_memory ${model.maximumObjectInMemoryKiB} KB`,
    `include ${STORE_CONF}`,
    "# else the cache manager would show the numbers of days ago",
    "cache deny internal_port manager",
    `collapsed_forwarding ${model.collapsedForwarding ? "on" : "off"}`,
    ...(isCarp(model) && model.collapsedForwarding
      ? [
          "# at the node that has the object: one that asks itself would wait for itself",
          "collapsed_forwarding_access allow internal_port",
          "collapsed_forwarding_access deny all",
        ]
      : []),
    "# what is older may be shown while origins fail",
    `max_stale ${model.staleIfErrorSeconds} seconds`,
    `negative_ttl ${model.negativeTtlSeconds} seconds`,
    ...model.refresh.map(({ pattern, minimumMinutes, percent, maximumMinutes, options }) =>
      [`refresh_pattern ${pattern} ${minimumMinutes} ${percent}% ${maximumMinutes}`, ...options].join(" "),
    ),
  ];
}

function replyLines(model: SquidModel): string[] {
  const fromOutside = model.siblings ? "!siblings " : "";
  return [
    "# names and versions are nobody's business",
    "httpd_suppress_version_string on",
    ...model.hideHeaders.map((header) => `reply_header_access ${header} deny all`),
    ...(model.hstsSeconds
      ? [`reply_header_add Strict-Transport-Security max-age=${model.hstsSeconds} public_https`]
      : []),
    ...(model.splashDirectory === undefined
      ? []
      : [
          `error_directory ${model.splashDirectory}`,
          ...DOWN.flatMap((status) => [
            // the page belongs to the last word of the line
            `http_reply_access deny ${fromOutside}origin_says_${status}`,
            `deny_info ${status}:${SPLASH_PAGE} origin_says_${status}`,
          ]),
          "http_reply_access allow all",
        ]),
  ];
}

function logLines({ siblings, monitoring, collector }: SquidModel): string[] {
  const silent = [
    "localhost",
    ...(siblings ? ["siblings"] : []),
    ...(monitoring.length ? ["monitoring"] : []),
  ];
  const logged = ["with_request", ...silent.map((name) => `!${name}`)].join(" ");
  return [
    "log_icp_queries off",
    `access_log daemon:/var/log/squid/access.log logformat=squid ${logged}`,
    ...(collector
      ? [
          "# a collector that is gone costs lines, and no visitor anything",
          `access_log ${collector.protocol}://${hostPort(collector.address, collector.port)} logformat=squid on-error=drop ${logged}`,
        ]
      : []),
    "cache_log /var/log/squid/cache.log",
    "# logrotate renames, Squid only opens anew",
    "logfile_rotate 0",
  ];
}

/** `/api` and what is below it, not `/apiary`. */
function pathPattern(path: string): string {
  const literal = escaped(path);
  return path.endsWith("/") ? `^${literal}` : `^${literal}(/|\\?|$)`;
}

function escaped(text: string): string {
  return text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
}

function isCarp({ siblings }: SquidModel): boolean {
  return siblings?.protocol === "carp";
}

/** ACLs of where visitors come in. */
function publicPorts({ httpPort, https }: SquidModel): string[] {
  return [...(httpPort === undefined ? [] : ["public_http"]), ...(https.length ? ["public_https"] : [])];
}

/** Squid takes no name besides a domain that covers it. */
function withoutCovered(names: readonly string[]): string[] {
  const all = [...new Set(names.map((name) => name.toLowerCase()))];
  return all.filter(
    (name) =>
      !all.some(
        (other) => other !== name && other.startsWith(".") && `.${name.replace(/^\./, "")}`.endsWith(other),
      ),
  );
}

function hostPort(address: string, port: number): string {
  return address.includes(":") && !address.includes("$") ? `[${address}]:${port}` : `${address}:${port}`;
}
