import { join } from "node:path";
import type { Construct } from "constructs";
import { checkCount, refuse } from "../problem";
import { PLAIN_PATH } from "../push/bundle";
import { repeated } from "../push/scheduled";
import type { Service, ServiceDescription } from "../push/service";
import { scriptText } from "../script-text";

export interface SquidMetricsProps {
  /**
   * Directory that the machine's node exporter reads (`--collector.textfile.directory`); `squid.prom` is written there.
   * @default "/var/lib/prometheus/node-exporter" - as Debian's package has it
   */
  readonly directory?: string;
  /** Seconds between two readings. @default 15 */
  readonly interval?: number;
}

const PROGRAM = "/usr/local/lib/cdktf-ha/squid-metrics";
const UNIT = "cdktf-ha-squid-metrics";

/** Squid's counters for a node exporter: opens no port. */
export class SquidMetricsService implements Service {
  readonly name = "squid-metrics";
  private readonly directory: string;
  private readonly interval: number;

  constructor(scope: Construct, props: SquidMetricsProps) {
    const { directory = "/var/lib/prometheus/node-exporter", interval = 15 } = props;
    if (!PLAIN_PATH.test(directory)) {
      refuse(scope, {
        code: "bad-path",
        what: `directory of the metrics '${directory}'`,
        allowed: "an absolute path of letters, digits and @%+=:,._-",
        fix: "name the directory that the node exporter reads",
      });
    }
    checkCount(scope, "metrics.interval", interval, 1, 3600, "seconds");
    this.directory = directory;
    this.interval = interval;
  }

  describe(): ServiceDescription {
    const { directory, interval } = this;
    const script = (file: string): string => scriptText(join(__dirname, "on-machine", file));
    return {
      packages: [{ name: "curl", unlessCommand: "curl" }],
      directories: [{ path: directory, mode: "0755" }],
      files: [
        { path: PROGRAM, text: script("metrics.sh"), mode: "0755", onChange: "none" },
        ...repeated({
          unit: UNIT,
          description: "Squid's counters for the node exporter",
          interval,
          commands: [`${PROGRAM} ${directory}`],
        }),
      ],
      units: [`${UNIT}.timer`],
      hooks: { leave: `rm -f ${directory}/squid.prom\n` },
    };
  }
}
