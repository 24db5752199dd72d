import { App, TerraformStack } from "cdktf";
import { Peer, Servers, SquidGeoProxyTier, SshPlatform, VirtualIp } from "../lib";
import { SQUID_CONF, STORE_CONF } from "../lib/squid-geo-proxy-tier/squid-conf";
import { Template } from "../lib/testing";

/** A server of the bench: its files in the root file system, and how it runs in the foreground. */
export interface Contender {
  readonly name: string;
  readonly port: number;
  readonly files: Readonly<Record<string, string>>;
  readonly command: readonly string[];
}

export const NAME = "www.site.example";
export const ORIGIN = "10.9.0.66";
const MEMORY_MIB = 256; // Squid's own default

/** What every node of a pair gets by default. */
function rendered(): Record<string, string> {
  const stack = new TerraformStack(new App({ outdir: "/run/bench-synth" }), "bench");
  const platform = new SshPlatform(stack, "rack", {
    hosts: {
      "front-uk-1": { address: "10.1.0.11/24", zone: "a" },
      "front-uk-2": { address: "10.1.0.12/24", zone: "b" },
    },
    ssh: { user: "admin", privateKeyFile: "none" },
    admins: [Peer.cidr("10.1.0.1/32")],
  });
  new SquidGeoProxyTier(stack, "front", {
    regions: { uk: { platform, virtualIp: VirtualIp.layer2("10.1.0.90/24") } },
    sites: [".site.example"],
    defaultSite: NAME,
    origins: Servers.at({ "app-1": `${ORIGIN}:8080` }),
    cache: { memoryMiB: MEMORY_MIB, disk: { sizeMiB: 512 } },
    openFiles: 16_384,
  });
  const template = Template.synth(stack).hasNoErrors();
  return Object.fromEntries(
    [SQUID_CONF, STORE_CONF].map((path) => [path, template.file("front-uk-1", path)]),
  );
}

/** Squid's wiki on a basic accelerator, and nothing else: the rest is as it is built. */
const STOCK = `http_port 81 accel defaultsite=${NAME} no-vhost
cache_peer ${ORIGIN} parent 8080 0 no-query originserver name=origin
acl site dstdomain ${NAME}
http_access allow site
cache_peer_access origin allow site
cache_peer_access origin deny all
pid_filename /run/squid-stock.pid
cache_log /var/log/squid/stock-cache.log
access_log daemon:/var/log/squid/stock-access.log squid
icp_port 0
coredump_dir /var/spool/squid
max_filedescriptors 16384
`;

const nginx = (name: string, http: string): string => `daemon off;
worker_processes 1;
pid /run/${name}.pid;
error_log /var/log/${name}-error.log;
events { worker_connections 4096; }
http {
  sendfile on;
  tcp_nopush on;
${http}}
`;

export const nginxOrigin = {
  files: {
    "/etc/bench/origin.conf": nginx(
      "origin",
      `  server {
    listen ${ORIGIN}:8080;
    access_log /var/log/origin.log;
    root /srv/site;
    add_header Cache-Control max-age=86400;
  }
`,
    ),
  },
  command: ["nginx", "-c", "/etc/bench/origin.conf"],
};

/** The first one is what the others are compared with. */
export const CONTENDERS: readonly Contender[] = [
  {
    name: "Squid, stock accelerator",
    port: 81,
    files: { "/etc/bench/stock.conf": STOCK },
    command: squid("/etc/bench/stock.conf", "stock"),
  },
  { name: "Squid, as rendered", port: 80, files: rendered(), command: squid(SQUID_CONF, "squid") },
  {
    name: "nginx proxy_cache",
    port: 82,
    files: {
      "/etc/bench/nginx.conf": nginx(
        "cache",
        `  proxy_cache_path /var/cache/bench-nginx levels=1:2 keys_zone=site:10m max_size=512m inactive=1d;
  server {
    listen 82;
    access_log /var/log/nginx-access.log;
    location / {
      proxy_pass http://${ORIGIN}:8080;
      proxy_cache site;
    }
  }
`,
      ),
    },
    command: ["nginx", "-c", "/etc/bench/nginx.conf"],
  },
  {
    name: "Varnish (writes no log)",
    port: 83,
    files: {},
    command: [
      "varnishd",
      "-F",
      "-a",
      ":83",
      "-b",
      `${ORIGIN}:8080`,
      "-s",
      `malloc,${MEMORY_MIB}m`,
      "-n",
      "/run/bench-varnish",
    ],
  },
];

function squid(conf: string, service: string): string[] {
  return ["squid", "--foreground", "-n", service, "-f", conf];
}

/** Shell text: what packages' own units do before the daemons start. */
export const prepare = `set -e
echo '127.0.0.1 localhost' >/etc/hosts # stock Squid looks up the name of whoever asks
mkdir -p /var/cache/bench-nginx /run/bench-varnish
install -d -o proxy -g proxy /var/spool/squid /var/log/squid
squid --foreground -z -n squid -f ${SQUID_CONF} 2>/tmp/z.log || { cat /tmp/z.log; exit 1; }
`;
