import { join } from "node:path";
import type { Service, ServiceDescription } from "../push/service";
import { scriptText } from "../script-text";
import type { SyslogCollector } from "./syslog-collector";

export interface LogForwardingModel {
  /** Of the service, and of its files. */
  readonly name: string;
  readonly collector: SyslogCollector;
  /** Names by which the messages' writers are known to syslog. */
  readonly programs: readonly string[];
}

/** Debian's rsyslog hands on what some programs of a machine say. The machine's rsyslog stays its own otherwise. */
export class LogForwardingService implements Service {
  readonly name: string;

  constructor(private readonly model: LogForwardingModel) {
    this.name = model.name;
  }

  describe(): ServiceDescription {
    const { tls } = this.model.collector;
    return {
      packages: [
        { name: "rsyslog", unlessCommand: "rsyslogd" },
        // only recommended by the package, whose own files would grow for ever
        { name: "logrotate", unlessCommand: "logrotate" },
        ...(tls ? [{ name: "rsyslog-openssl" }] : []),
      ],
      onPackageChange: "none",
      files: [
        { path: settingsFile(this.name), text: renderRsyslog(this.model), onChange: "restart" },
        ...(tls ? [{ path: trustFile(this.name), text: tls.trust, onChange: "restart" as const }] : []),
      ],
      hooks: {
        check: script("check.sh"),
        activate: script("activate.sh"),
        healthy: script("healthy.sh"),
        leave: script("leave.sh"),
      },
      checker: "rsyslogd -N1",
    };
  }
}

// after the distribution's files, before the rules of /etc/rsyslog.conf
const settingsFile = (name: string): string => `/etc/rsyslog.d/60-cdktf-ha-${name}.conf`;
const trustFile = (name: string): string => `/etc/cdktf-ha/${name}.pem`;

/**
 * What the programs say, and nothing else; while the collector is away it waits on the disk. Pure. A full queue throws away what comes
 * then: the journal has it, and the machine's other logs do not wait for this one.
 */
export function renderRsyslog({ name, collector, programs }: LogForwardingModel): string {
  const { address, port, protocol, tls } = collector;
  const settings: Record<string, string> = {
    type: "omfwd",
    target: address,
    port: String(port),
    protocol,
    template: "RSYSLOG_SyslogProtocol23Format",
    // a message may hold the end of a line
    ...(protocol === "tcp" ? { TCP_Framing: "octet-counted", KeepAlive: "on" } : {}),
    ...(tls
      ? {
          StreamDriver: "ossl",
          StreamDriverMode: "1",
          StreamDriverAuthMode: "x509/name",
          StreamDriverPermittedPeers: tls.name,
          "StreamDriver.CAFile": trustFile(name),
        }
      : {}),
    "action.resumeRetryCount": "-1",
    "action.resumeInterval": "5",
    "queue.type": "LinkedList",
    "queue.filename": `cdktf-ha-${name}`,
    "queue.maxDiskSpace": "256m",
    "queue.size": "20000",
    "queue.highWatermark": "5000",
    "queue.lowWatermark": "1000",
    "queue.saveOnShutdown": "on",
    "queue.timeoutEnqueue": "10",
  };
  return [
    "# Managed by cdktf-ha-clusters.",
    `if $programname == [${programs.map((program) => `"${program}"`).join(", ")}] then {`,
    "  action(",
    ...Object.entries(settings).map(([key, value]) => `    ${key}="${value}"`),
    "  )",
    "}",
    "",
  ].join("\n");
}

function script(file: string): string {
  return scriptText(join(__dirname, "on-machine", file));
}
