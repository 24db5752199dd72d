import { join } from "node:path";
import { scriptText } from "../script-text";
import type { ServiceFile } from "./service";

/** Hook: does systemd take the calendars of the timers that come? */
export const CALENDAR_CHECK = scriptText(join(__dirname, "hooks", "calendar.sh"));

export interface ScheduledProps {
  /** Name of both units, without their ends. */
  readonly unit: string;
  readonly description: string;
  /** systemd's calendar expression; refused on the machine if systemd does not take it. */
  readonly schedule: string;
  readonly command: string;
  /** A unit without which there is nothing to do. */
  readonly requisite: string;
  /** How often a failure is tried again, half an hour later, until it counts. @default 1 */
  readonly attempts?: number;
  /** Further lines of the service. @default none */
  readonly more?: string;
}

/** A service and the timer that starts it, within half an hour of its time: nodes do not all begin in the same second. */
export function scheduled(props: ScheduledProps): { readonly unit: string; readonly files: ServiceFile[] } {
  const { unit, description, schedule, command, requisite, attempts = 1, more = "" } = props;
  const again = attempts > 1;
  return {
    unit: `${unit}.timer`,
    files: [
      {
        path: `/etc/systemd/system/${unit}.service`,
        text: `# Managed by cdktf-ha-clusters.
[Unit]
Description=${description}
After=${requisite}
Requisite=${requisite}
${again ? `StartLimitIntervalSec=12h\nStartLimitBurst=${attempts}\n` : ""}
[Service]
Type=oneshot
ExecStart=${command}
Nice=10
IOSchedulingClass=idle
${again ? "Restart=on-failure\nRestartSec=30min\n" : ""}${more}`,
        onChange: "none",
      },
      timerFile(unit, description, schedule),
    ],
  };
}

/** What the service prints stands in the journal under this name; what it notes there by the same name is not written twice. */
export const notedAs = (identifier: string): string =>
  `SyslogIdentifier=${identifier}\nEnvironment=HA_NOTED=yes\n`;

/** The timer of a service, within half an hour of its time, and later where the machine was off. */
export function timerFile(unit: string, description: string, schedule: string): ServiceFile {
  return {
    path: `/etc/systemd/system/${unit}.timer`,
    text: `# Managed by cdktf-ha-clusters.
[Unit]
Description=${description}

[Timer]
OnCalendar=${schedule}
RandomizedDelaySec=30min
Persistent=true

[Install]
WantedBy=timers.target
`,
    onChange: "restart",
  };
}

export interface RepeatedProps {
  /** Name of both units, without their ends. */
  readonly unit: string;
  readonly description: string;
  /** Seconds from one start to the next; one that takes longer has no second one beside it. */
  readonly interval: number;
  /** One after the other; one that fails ends it. */
  readonly commands: readonly string[];
  /** As systemd has it. @default none - it may take as long as it takes */
  readonly timeout?: string;
}

/** A service and the timer that starts it again and again, from now on. */
export function repeated({ unit, description, interval, commands, timeout }: RepeatedProps): ServiceFile[] {
  const head = `# Managed by cdktf-ha-clusters.\n[Unit]\nDescription=${description}\n`;
  const limit = timeout === undefined ? "" : `TimeoutStartSec=${timeout}\n`;
  const lines = commands.map((command) => `ExecStart=${command}\n`).join("");
  return [
    {
      path: `/etc/systemd/system/${unit}.service`,
      text: `${head}\n[Service]\nType=oneshot\n${limit}${lines}`,
      onChange: "none",
    },
    {
      path: `/etc/systemd/system/${unit}.timer`,
      text: `${head}\n[Timer]\nOnActiveSec=1s\nOnUnitActiveSec=${interval}s\nAccuracySec=1s\n\n[Install]\nWantedBy=timers.target\n`,
      onChange: "restart",
    },
  ];
}
