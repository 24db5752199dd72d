import type { Construct } from "constructs";
import { checkCount, refuse } from "../problem";
import { PLAIN_PATH } from "../push/bundle";
import { repeated } from "../push/scheduled";
import type { Service, ServiceDescription } from "../push/service";
import { PROGRAMS } from "./layout";
import { program } from "./node-part";

export interface NfsMetricsProps {
  /**
   * Directory that the machine's node exporter reads (`--collector.textfile.directory`); `nfs-pair.prom` and `nfs-pair-volume.prom` are written there.
   * @default "/var/lib/prometheus/node-exporter" - as Debian's package has it
   */
  readonly directory?: string;
  /** Seconds between two readings. @default 15 */
  readonly interval?: number;
}

const UNIT = "cdktf-ha-nfs-metrics";
const VOLUME_UNIT = `${UNIT}-volume`;

export function checkMetrics(scope: Construct, { directory, interval }: NfsMetricsProps): void {
  checkCount(scope, "metrics.interval", interval, 1, 3600, "seconds");
  if (directory === undefined || PLAIN_PATH.test(directory)) return;
  refuse(scope, {
    code: "bad-path",
    what: `directory of the metrics '${directory}'`,
    allowed: "an absolute path of letters, digits and @%+=:,._-",
    fix: "name the directory that the node exporter reads",
  });
}

/** The pair's state for a node exporter: opens no port. */
export class NfsMetricsService implements Service {
  readonly name = "nfs-metrics";

  constructor(private readonly props: NfsMetricsProps) {}

  describe(): ServiceDescription {
    const { directory = "/var/lib/prometheus/node-exporter", interval = 15 } = this.props;
    const command = `/bin/bash ${PROGRAMS}/metrics.sh ${directory}`;
    return {
      directories: [{ path: directory, mode: "0755" }],
      files: [
        program("metrics.sh"),
        ...repeated({
          unit: UNIT,
          description: "The NFS pair's state for the node exporter",
          interval,
          commands: [command],
        }),
        // no time limit: systemd starts no second one beside one that hangs, and would beside one that it has given up
        ...repeated({
          unit: VOLUME_UNIT,
          description: "What is on the NFS pair's volume for the node exporter",
          interval,
          commands: [`${command} volume`],
        }),
      ],
      units: [`${UNIT}.timer`, `${VOLUME_UNIT}.timer`],
      hooks: { leave: `rm --force ${directory}/nfs-pair.prom ${directory}/nfs-pair-volume.prom\n` },
    };
  }
}
