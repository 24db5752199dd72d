import { join } from "node:path";
import type { Machine } from "../platform/machine";
import type { Service, ServiceDescription } from "../push/service";
import { scriptText } from "../script-text";
import type { Secret } from "../secret/secret";
import type { GeoDatabase } from "./geo-database";
import { renderChecks, renderZones, type GeoZone } from "./geo-zone";
import { renderPdnsConf } from "./pdns-conf";

/** What the service asks of the name servers, at synth. */
export interface PowerDnsSource {
  readonly zones: () => readonly GeoZone[];
  readonly keys: () => readonly { readonly zone: string; readonly key: Secret }[];
  readonly database?: GeoDatabase;
  readonly packageVersion?: string;
}

const ON_MACHINE = join(__dirname, "on-machine");
const PROGRAM = "/usr/local/lib/cdktf-ha/geo-dns";
const STATE_DIRECTORY = "/var/lib/cdktf-ha-geo-dns";
const KEY_DIRECTORY = "/etc/powerdns/cdktf-ha-keys";
const CHECKS_UNIT = "cdktf-ha-geo-dns.service";

/** PowerDNS, and the program that takes regions which do not answer out of its zones. */
export class PowerDnsService implements Service {
  readonly name = "powerdns";

  constructor(private readonly source: PowerDnsSource) {}

  describe(machine: Machine): ServiceDescription {
    const { database, packageVersion: version } = this.source;
    const zones = this.source.zones();
    const keys = this.source.keys();
    const conf = renderPdnsConf({
      machine: machine.name,
      address: machine.privateAddress,
      database: database?.setting,
      zonesFile: `${STATE_DIRECTORY}/zones.yaml`,
      keyDirectory: keys.length ? KEY_DIRECTORY : undefined,
    });
    return {
      packages: [
        { name: "pdns-server", version },
        { name: "pdns-backend-geoip", version },
        { name: "python3", unlessCommand: "python3" },
        { name: "python3-yaml" },
        ...(database?.packages ?? []),
      ],
      directories: [
        { path: STATE_DIRECTORY, owner: "pdns", group: "pdns" },
        ...(keys.length ? [{ path: KEY_DIRECTORY, mode: "0750", group: "pdns" }] : []),
      ],
      files: [
        { path: "/etc/powerdns/pdns.conf", text: conf, mode: "0640", group: "pdns", onChange: "restart" },
        { path: "/etc/powerdns/cdktf-ha-zones.yaml", text: renderZones(zones) },
        { path: "/etc/powerdns/cdktf-ha-checks.json", text: renderChecks(zones, database?.files ?? []) },
        ...keys.map(({ zone, key }) => ({
          path: `${KEY_DIRECTORY}/${zone}.257.1.1.key`, // a key that signs everything, the first one, active
          text: `${key.placeholder}\n`,
          mode: "0640",
          group: "pdns",
          onChange: "restart" as const,
        })),
        { path: PROGRAM, text: script("geo-dns.py"), mode: "0755" },
        { path: `/etc/systemd/system/${CHECKS_UNIT}`, text: CHECKS_UNIT_TEXT },
        { path: "/etc/systemd/system/pdns.service.d/50-cdktf-ha.conf", text: DROP_IN, onChange: "restart" },
      ],
      units: ["pdns.service", CHECKS_UNIT],
      secrets: [...new Map(keys.map(({ key }) => [key.name, key])).values()],
      hooks: {
        check: script("check.sh"),
        activate: script("activate.sh"),
        healthy: script("healthy.sh"),
        leave: script("leave.sh"),
      },
      checker: "PowerDNS",
    };
  }
}

function script(file: string): string {
  return scriptText(join(ON_MACHINE, file));
}

const HARDENING = `NoNewPrivileges=yes
LockPersonality=yes
PrivateDevices=yes
PrivateTmp=yes
ProtectClock=yes
ProtectControlGroups=yes
ProtectHome=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
ProtectSystem=strict
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
SystemCallArchitectures=native
`;

const CHECKS_UNIT_TEXT = `# Managed by cdktf-ha-clusters.
[Unit]
Description=Takes regions that do not answer out of the zones of PowerDNS
After=pdns.service

[Service]
ExecStart=${PROGRAM} watch
User=pdns
Group=pdns
Restart=always
RestartSec=1
CapabilityBoundingSet=
ReadWritePaths=${STATE_DIRECTORY}
${HARDENING}
[Install]
WantedBy=multi-user.target
`;

/** On top of what Debian's own unit forbids: nothing on disk can be written, and no owner changed. */
const DROP_IN = `# Managed by cdktf-ha-clusters.
[Service]
Restart=always
RestartSec=200ms
CapabilityBoundingSet=
CapabilityBoundingSet=CAP_NET_BIND_SERVICE
AmbientCapabilities=
AmbientCapabilities=CAP_NET_BIND_SERVICE
${HARDENING}`;
