import type { Construct } from "constructs";
import { refuse } from "../problem";
import type { Secret } from "../secret/secret";
import { PROGRAMS } from "./layout";
import { program, type NodePart } from "./node-part";

export interface NfsAlertsProps {
  /** URL that gets each message as JSON: `{"cluster", "node", "kind", "text"}`. @default none */
  readonly webhook?: Secret;
  /**
   * Command (bash) that gets each message on its standard input, and its kind as `HA_ALERT_KIND`: failover, degraded, recovered, fenced,
   * split or out-of-sync. `mail -s "NFS: $HA_ALERT_KIND" ops@example.net`. @default none
   */
  readonly command?: string;
}

/** What Pacemaker runs at whatever happens in its cluster. */
export const ALERT_AGENT = `${PROGRAMS}/pacemaker-alert.sh`;

const UNIT = "cdktf-ha-nfs-alert";
const SPOOL = "/run/cdktf-ha-nfs-alerts";

export function checkAlerts(scope: Construct, { webhook, command }: NfsAlertsProps): void {
  if (webhook ?? command?.trim()) return;
  refuse(scope, {
    code: "alert-to-nobody",
    what: "'alerts' names nobody",
    allowed: "a webhook, a command, or both",
    fix: 'alerts: { webhook: Secret.file("/etc/nfs/webhook") }',
  });
}

/** Messages lie in a directory until they are taken away: neither DRBD nor Pacemaker waits for whoever is told. */
export function alerts({ webhook, command }: NfsAlertsProps): NodePart {
  const head = "# Managed by cdktf-ha-clusters.\n[Unit]\nDescription=Alerts of the NFS pair\n";
  return {
    packages: webhook ? [{ name: "curl", unlessCommand: "curl" }, { name: "ca-certificates" }] : [],
    files: [
      program("pacemaker-alert.sh"),
      program("alert-send.sh"),
      program("watch.sh"),
      {
        path: `/etc/tmpfiles.d/${UNIT}.conf`,
        text: `# Managed by cdktf-ha-clusters.\nd ${SPOOL} 1730 root haclient -\n`,
        onChange: "none",
      },
      ...(webhook
        ? [
            {
              path: "/etc/cdktf-ha/drbd-nfs-webhook",
              text: webhook.placeholder,
              mode: "0600",
              onChange: "none",
            } as const,
          ]
        : []),
      ...(command
        ? [
            {
              path: `${PROGRAMS}/alert-command`,
              text: `#!/bin/bash\n${command}\n`,
              mode: "0700",
              onChange: "none",
            } as const,
          ]
        : []),
      {
        path: `/etc/systemd/system/${UNIT}.service`,
        text: `${head}# a storm of messages is no reason to stop\nStartLimitIntervalSec=0\n\n[Service]\nType=oneshot\nExecStart=/bin/bash ${PROGRAMS}/alert-send.sh\n`,
        onChange: "none",
      },
      {
        path: `/etc/systemd/system/${UNIT}.path`,
        text: `${head}\n[Path]\nPathExistsGlob=${SPOOL}/*.alert\n\n[Install]\nWantedBy=paths.target\n`,
        onChange: "restart",
      },
    ],
    units: [`${UNIT}.path`],
    secrets: webhook ? [webhook] : [],
    everyMinute: ["watch.sh"],
    activate: `systemd-tmpfiles --create /etc/tmpfiles.d/${UNIT}.conf`,
    leave: `rm --recursive --force ${SPOOL}`,
  };
}
