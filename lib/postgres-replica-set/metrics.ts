import type { Connectable } from "../firewall/connections";
import type { Peer } from "../firewall/peer";
import { bracketed } from "../net";
import type { Machine } from "../platform/machine";
import type { Service, ServiceDescription } from "../push/service";
import { METRICS_ROLE } from "./databases";
import { CONFIG, PROGRAMS, script } from "./patroni-service";

export interface PostgresMetricsProps {
  /** Who may ask: `GET /metrics`, without TLS and without a login. */
  readonly clients: readonly (Connectable | Peer)[];
  /** On the member's private address only. @default 9187 - postgres_exporter's own */
  readonly port?: number;
}

export const METRICS_PORT = 9187;

/** Prometheus's exporter on each member, which asks that member's own server. */
export class MetricsService implements Service {
  readonly name = "postgres-metrics";

  constructor(private readonly port: number) {}

  describe(machine: Machine): ServiceDescription {
    const address = `${bracketed(machine.privateAddress)}:${this.port}`;
    return {
      packages: [{ name: "prometheus-postgres-exporter" }],
      users: [{ name: METRICS_ROLE }],
      files: [
        {
          path: "/etc/systemd/system/prometheus-postgres-exporter.service",
          text: renderExporterUnit(address),
          onChange: "restart",
        },
        {
          path: `${CONFIG}/metrics.json`,
          text: `${JSON.stringify({ url: `http://${address}/metrics` })}\n`,
          onChange: "none",
        },
        { path: `${PROGRAMS}/metrics.py`, text: script("metrics.py"), onChange: "none" },
      ],
      units: ["prometheus-postgres-exporter.service"],
      hooks: { healthy: script("metrics-healthy.sh") },
    };
  }
}

/** In place of the package's, which reads a file of its own. Pure. */
export function renderExporterUnit(address: string): string {
  return `# Managed by cdktf-ha-clusters.
[Unit]
Description=Prometheus's metrics of PostgreSQL
After=network-online.target
Wants=network-online.target

[Service]
User=${METRICS_ROLE}
Group=${METRICS_ROLE}
Environment="DATA_SOURCE_NAME=user=${METRICS_ROLE} host=/var/run/postgresql dbname=postgres sslmode=disable"
ExecStart=/usr/bin/prometheus-postgres-exporter --web.listen-address=${address}
Restart=always
RestartSec=2
MemoryMax=256M
NoNewPrivileges=yes
ProtectSystem=strict
ProtectHome=yes
PrivateTmp=yes
PrivateDevices=yes

[Install]
WantedBy=multi-user.target
`;
}
