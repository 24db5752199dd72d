import { join } from "node:path";
import type { Machine } from "../platform/machine";
import { Fact, type Service, type ServiceDescription, type ServiceFile } from "../push/service";
import { scriptText } from "../script-text";
import type { Secret } from "../secret/secret";
import { renderHaproxyCfg, type HaproxyModel } from "./haproxy-cfg";

/** What the service asks of the cluster it belongs to, at synth. */
export interface HaproxySource {
  model(machine: Machine): Omit<HaproxyModel, "fingerprint">;
  /** Secrets that the configuration names. */
  readonly secrets: readonly Secret[];
  /** Certificates with their keys, by path. */
  readonly certificates: readonly { readonly path: string; readonly secret: Secret }[];
  /** PEM texts of authorities, by path. */
  readonly authorities: readonly { readonly path: string; readonly text: string }[];
  /** Server states that the code declares: `backend/server`, state. */
  readonly serverStates: readonly (readonly [string, string])[];
  readonly packageVersion?: string;
  /** Shell text that tells whether this node is the one that serves. @default - every node does, always */
  readonly activeHook?: string;
}

const ON_MACHINE = join(__dirname, "on-machine");

/** HAProxy with its configuration and certificates. */
export class HaproxyService implements Service {
  readonly name = "haproxy";

  constructor(private readonly source: HaproxySource) {}

  describe(machine: Machine): ServiceDescription {
    const { source } = this;
    const model = { ...source.model(machine), fingerprint: Fact.FINGERPRINT };
    const states = source.serverStates.map(([server, state]) => `${server} ${state}\n`).join("");
    const files: ServiceFile[] = [
      {
        path: "/etc/haproxy/haproxy.cfg",
        text: renderHaproxyCfg(model),
        mode: "0640",
        group: "haproxy",
      },
      ...source.certificates.map(({ path, secret }) => ({ path, text: secret.placeholder, mode: "0600" })),
      ...source.authorities.map(({ path, text }) => ({ path, text })),
      { path: "/etc/haproxy/cdktf-ha-server-states", text: states, onChange: "none" as const },
      program("haproxy-save-state", "save-state.sh"),
      program("haproxy-answers", "answers.sh"),
      // read by systemd at the next reload: nothing has to restart for it
      {
        path: "/etc/systemd/system/haproxy.service.d/50-cdktf-ha.conf",
        text: dropIn(model),
        onChange: "none",
      },
    ];
    const secrets = new Map(
      [...source.secrets, ...source.certificates.map(({ secret }) => secret)].map((s) => [s.name, s]),
    );
    return {
      packages: [
        { name: "haproxy", version: source.packageVersion },
        { name: "socat" },
        // without them it verifies servers against nobody, and says nothing
        ...(model.backends.some(({ tls }) => tls?.authorityFile === "@system-ca")
          ? [{ name: "ca-certificates" }]
          : []),
      ],
      // a reload makes the master run the new binary: no listener closes
      onPackageChange: "reload",
      directories: [{ path: "/etc/haproxy/tls", mode: "0755" }],
      files,
      // so that a listener can be bound to a virtual IP that is elsewhere right now
      sysctls: { "net.ipv4.ip_nonlocal_bind": 1, "net.ipv6.ip_nonlocal_bind": 1 },
      units: ["haproxy.service"],
      secrets: [...secrets.values()],
      hooks: {
        check: "haproxy -c -f /etc/haproxy/haproxy.cfg",
        healthy: scriptText(join(ON_MACHINE, "healthy.sh")),
        active: source.activeHook,
        settle: scriptText(join(ON_MACHINE, "settle.sh")),
      },
      checker: "haproxy -c",
      // a reload takes some tenths of a second, a thousand certificates some seconds
      healthyWithin: 15,
    };
  }
}

function program(name: string, file: string): ServiceFile {
  return {
    path: `/usr/local/lib/cdktf-ha/${name}`,
    text: scriptText(join(ON_MACHINE, file)),
    mode: "0755",
    onChange: "none",
  };
}

/**
 * Server states survive reloads and restarts, and a crash is not the end. A connection takes two descriptors, one to each
 * side; HAProxy does not start where it may not open that many.
 */
function dropIn({ maximumConnections }: HaproxyModel): string {
  return `[Unit]
StartLimitIntervalSec=0

[Service]
Restart=always
RestartSec=200ms
LimitNOFILE=${2 * maximumConnections + 1000}
ExecReload=
ExecReload=-/usr/local/lib/cdktf-ha/haproxy-save-state
ExecReload=/usr/sbin/haproxy -Ws -f $CONFIG -c -q $EXTRAOPTS
ExecReload=/bin/kill -USR2 $MAINPID
ExecStop=-/usr/local/lib/cdktf-ha/haproxy-save-state
`;
}
