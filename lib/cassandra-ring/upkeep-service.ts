import { CALENDAR_CHECK, scheduled } from "../push/scheduled";
import type { Service, ServiceDescription, ServiceFile } from "../push/service";
import { FACTS_DIRECTORY, PROGRAMS, script } from "./cassandra-service";
import type { Snapshots } from "./snapshots";

export interface UpkeepModel {
  /** Names of all nodes: a new one leaves rows on the old ones that are theirs no longer. */
  readonly members: readonly string[];
  /** Copies by keyspace: more of them have to be filled, fewer leave rows behind. */
  readonly copies: Readonly<Record<string, Readonly<Record<string, number>>>>;
  /** systemd's calendar expression; none for no timer. */
  readonly repair?: string;
  readonly snapshots?: Snapshots;
  /** Does the node issue itself its certificate? */
  readonly issuesCertificate: boolean;
}

/**
 * What a node has to do once the ring or a keyspace has changed, cleanup and repair, one node after the other; and what it
 * does by itself from then on.
 */
export class UpkeepService implements Service {
  readonly name = "cassandra-upkeep";

  constructor(private readonly model: () => UpkeepModel) {}

  describe(): ServiceDescription {
    const { members, copies, repair, snapshots, issuesCertificate } = this.model();
    const timers = [
      ...(repair === undefined
        ? []
        : [
            timer(
              "repair",
              "Repair of this node's ranges",
              repair,
              [{ path: `${PROGRAMS}/repair`, text: script("repair.sh") }],
              // the next one is a week away, and rows that were deleted come back after ten days
              "Restart=on-failure\nRestartSec=30min\n",
            ),
          ]),
      ...(snapshots
        ? [
            timer("snapshot", "Snapshot of this node's data", snapshots.schedule, [
              { path: `${PROGRAMS}/snapshot`, text: script("snapshot.sh") },
              { path: `${PROGRAMS}/restore`, text: script("restore.sh") },
              { path: `${FACTS_DIRECTORY}/snapshots`, text: snapshots.facts, mode: "0644" },
            ]),
          ]
        : []),
      ...(issuesCertificate
        ? [
            timer("certificate", "New certificate for this node, a month before the old one ends", "daily", [
              { path: `${PROGRAMS}/certificate`, text: script("certificate.sh") },
            ]),
          ]
        : []),
    ];
    const state = [
      `members ${[...members].sort().join(" ")}\n`,
      ...Object.entries(copies)
        .sort(([a], [b]) => (a < b ? -1 : 1))
        .map(([keyspace, counts]) => `keyspace ${keyspace} ${JSON.stringify(counts)}\n`),
    ];
    return {
      packages: snapshots?.packages ?? [],
      files: [
        { path: `${FACTS_DIRECTORY}/upkeep`, text: state.join(""), onChange: "none" },
        ...timers.flatMap(({ files }) => files),
      ],
      units: timers.map(({ unit }) => unit),
      hooks: { check: CALENDAR_CHECK, settle: script("upkeep.sh") },
      checker: "systemd",
    };
  }
}

/** A service that a timer starts, with its programs. */
function timer(
  name: string,
  description: string,
  schedule: string,
  programs: readonly ServiceFile[],
  more?: string,
): { unit: string; files: ServiceFile[] } {
  const { unit, files } = scheduled({
    unit: `cassandra-${name}`,
    description,
    schedule,
    command: `${PROGRAMS}/${name}`,
    requisite: "cassandra.service",
    more,
  });
  return {
    unit,
    files: [...programs.map((file) => ({ mode: "0755", onChange: "none" as const, ...file })), ...files],
  };
}
