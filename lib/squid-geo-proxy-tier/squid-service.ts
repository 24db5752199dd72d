import { join } from "node:path";
import type { Machine } from "../platform/machine";
import { Fact, type Service, type ServiceDescription, type ServiceFile } from "../push/service";
import { scriptText } from "../script-text";
import type { Secret } from "../secret/secret";
import type { SplashPage } from "./splash-page";
import { renderSquidConf, SQUID_CONF, STORE_CONF, type SquidModel } from "./squid-conf";
import { renderStoreConf, renderWantedSizes, WANTED_SIZES, type SquidStore } from "./store-conf";

/** What the service asks of the region it belongs to, at synth. */
export interface SquidSource {
  model(machine: Machine): Omit<SquidModel, "fingerprint">;
  readonly store: SquidStore;
  readonly splashPage?: SplashPage;
  /** What on-machine/origins.sh reads. */
  readonly originChecks: string;
  /** URLs that a new node fetches before it has visitors. */
  readonly warm: readonly string[];
  /** Certificates with their keys, by path. */
  readonly certificates: readonly { readonly path: string; readonly secret: Secret }[];
  /** PEM texts of authorities, by path. */
  readonly authorities: readonly { readonly path: string; readonly text: string }[];
  readonly packageVersion?: string;
  /** Shell text that tells whether this node is the one that serves. @default - every node does, always */
  readonly activeHook?: string;
}

const ON_MACHINE = join(__dirname, "on-machine");
export const SPLASH_FILE = "/etc/squid/cdktf-ha-splash.html";
/** Made on the machine: the splash page under each of Squid's names for an error. */
export const SPLASH_DIRECTORY = "/etc/squid/cdktf-ha-errors";

/** Squid with its configuration, certificates and cache. */
export class SquidService implements Service {
  readonly name = "squid";

  constructor(private readonly source: SquidSource) {}

  describe(machine: Machine): ServiceDescription {
    const { source } = this;
    const model = { ...source.model(machine), fingerprint: Fact.FINGERPRINT };
    const files: ServiceFile[] = [
      { path: SQUID_CONF, text: renderSquidConf(model) },
      // what Squid reads once, at its start
      { path: STORE_CONF, text: renderStoreConf(source.store), onChange: "restart" },
      { path: WANTED_SIZES, text: renderWantedSizes(source.store), onChange: "restart" },
      ...(source.splashPage ? [{ path: SPLASH_FILE, text: source.splashPage.template }] : []),
      // Squid reads keys as the user that it gives up root for
      ...source.certificates.map(({ path, secret }) => ({
        path,
        text: secret.placeholder,
        mode: "0640",
        group: "proxy",
      })),
      ...source.authorities.map(({ path, text }) => ({ path, text })),
      { path: "/etc/squid/cdktf-ha-origins", text: source.originChecks, onChange: "none" },
      program("squid-origins", "origins.sh"),
      {
        path: "/etc/squid/cdktf-ha-warm",
        text: source.warm.map((url) => `${url}\n`).join(""),
        onChange: "none",
      },
      program("squid-warm", "warm.sh"),
      { path: `/etc/systemd/system/${ORIGINS_UNIT}`, text: ORIGINS_UNIT_TEXT, onChange: "none" },
      program("squid-functions", "functions.sh", "0644"),
      program("squid-prepare", "prepare.sh"),
      program("squid-store", "store.sh"),
      program("squid-reconfigure", "reconfigure.sh"),
      program("squid-restart", "restart.sh"),
      program("squid-answers", "answers.sh"),
      program("squid-purge", "purge.py"),
      // read by systemd at the next reload; the number of files counts from the next start on
      {
        path: "/etc/systemd/system/squid.service.d/50-cdktf-ha.conf",
        text: dropIn(model.openFiles),
        onChange: "none",
      },
    ];
    const { disk } = source.store;
    return {
      packages: [
        { name: "squid-openssl", version: source.packageVersion },
        { name: "nftables", unlessCommand: "nft" },
        { name: "iproute2", unlessCommand: "ss" },
        { name: "python3" }, // python3-minimal, which has the command, has no module for HTTP
        ...(model.pools.some(({ tls }) => tls?.verify && tls.authorityFile === undefined)
          ? [{ name: "ca-certificates" }]
          : []),
        ...(source.warm.length ? [{ name: "curl", unlessCommand: "curl" }] : []),
      ],
      directories: [
        { path: "/etc/squid/tls", mode: "0750", group: "proxy" },
        ...(disk ? [{ path: disk.directory, mode: "0750", owner: "proxy", group: "proxy" }] : []),
      ],
      files,
      // so that a port can be bound to a virtual IP that is elsewhere right now
      sysctls: { "net.ipv4.ip_nonlocal_bind": 1, "net.ipv6.ip_nonlocal_bind": 1 },
      units: ["squid.service", ORIGINS_UNIT],
      secrets: [...new Map(source.certificates.map(({ secret }) => [secret.name, secret])).values()],
      hooks: {
        check: script("check.sh"),
        activate: script("activate.sh"),
        healthy: script("healthy.sh"),
        active: source.activeHook,
        leave: script("leave.sh"),
      },
      checker: "squid -k parse",
      // the cache's index is read while Squid serves already; its directories are made before
      healthyWithin: 60,
    };
  }
}

function script(file: string): string {
  return scriptText(join(ON_MACHINE, file));
}

function program(name: string, file: string, mode = "0755"): ServiceFile {
  return { path: `/usr/local/lib/cdktf-ha/${name}`, text: script(file), mode, onChange: "none" };
}

const ORIGINS_UNIT = "cdktf-ha-squid-origins.service";
const ORIGINS_UNIT_TEXT = `[Unit]
Description=Refuses origins that do not answer to Squid
After=squid.service

[Service]
ExecStart=/usr/local/lib/cdktf-ha/squid-origins
ExecStopPost=-/usr/sbin/nft delete table inet cdktf_ha_origins
Restart=always
RestartSec=200ms

[Install]
WantedBy=multi-user.target
`;

/** A crash is not the end, and nobody is refused while the configuration is read anew. */
function dropIn(openFiles: number): string {
  return `[Unit]
StartLimitIntervalSec=0

[Service]
Restart=always
RestartSec=200ms
LimitNOFILE=${openFiles}
ExecStartPre=
ExecStartPre=/usr/local/lib/cdktf-ha/squid-store
ExecStartPre=/usr/sbin/squid --foreground -z
ExecReload=
ExecReload=/usr/local/lib/cdktf-ha/squid-reconfigure
`;
}
