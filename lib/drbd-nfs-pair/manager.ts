import type { Construct } from "constructs";
import { checkCount, refuse, warn } from "../problem";
import type { DrbdNfsPairProps } from "./pair-props";
import { MISSED_AFTER } from "./drbd-resource";

export interface HeartbeatProps {
  /** There is no third vote, and nobody is switched off: nodes that do not see each other both serve, and both write. */
  readonly iAcceptSplitBrain: true;
  /** How nodes say that they are alive: `ucast` to the other one's address, `bcast` to the whole segment. @default "ucast" */
  readonly transport?: "ucast" | "bcast";
  /** Seconds between two signs of life. @default 1 */
  readonly keepalive?: number;
  /** Seconds of silence that the journal tells of. @default 3 */
  readonly warntime?: number;
  /** Seconds of silence after which a node counts as dead. Longer than DRBD needs to miss its peer. @default 10 */
  readonly deadtime?: number;
  /** Seconds after its start for which a node waits for one that it has never heard. @default 20, or twice `deadtime` */
  readonly initdead?: number;
}

/** With every default filled in. */
export type HeartbeatTimes = Readonly<
  Required<Pick<HeartbeatProps, "keepalive" | "warntime" | "deadtime" | "initdead">>
>;

/** What decides which node serves, and starts and stops everything there. */
export class Manager {
  /** With a third vote and fencing: the two never write at once. */
  static pacemaker(): Manager {
    return new Manager();
  }

  /**
   * The way of 2008, for whoever has to keep it: DRBD 8.4, one path, no third vote, no fencing. Whatever cuts the two off from
   * each other splits the data, and what one of them has written since is lost; every synth says so.
   */
  static heartbeat(props: HeartbeatProps): Manager {
    return new Manager(props);
  }

  private constructor(
    /** Nothing: Pacemaker. */
    readonly settings?: HeartbeatProps,
  ) {}
}

export function heartbeatTimes({
  keepalive = 1,
  warntime = 3,
  deadtime = 10,
  initdead,
}: HeartbeatProps): HeartbeatTimes {
  return { keepalive, warntime, deadtime, initdead: initdead ?? Math.max(20, 2 * deadtime) };
}

/** Refuses what the manager cannot do, and settings that belong to the other one. */
export function checkManager(pair: Construct, props: DrbdNfsPairProps): void {
  const settings = props.manager?.settings;
  if (settings) {
    checkHeartbeat(pair, settings, props);
    return;
  }
  if (props.quorum === undefined) {
    refuse(pair, {
      code: "no-third-vote",
      what: "'quorum' is not given",
      allowed: "one machine that is no node of the pair",
      fix: 'quorum: ["vote-1"], in a third zone; it may be a small one',
    });
  }
  if (props.fencing === undefined) {
    refuse(pair, {
      code: "no-fencing",
      what: "'fencing' is not given",
      allowed: "a way to switch each node off: one that nobody can stop may go on writing",
      fix: "Fencing.ipmi, Fencing.redfish or Fencing.command; Fencing.watchdog where nobody can be asked to cut their power",
    });
  }
}

const PACEMAKERS = [
  ...(["quorum", "fencing", "secondLink", "token", "pingHosts"] as const),
  ...(["adopt", "verifySchedule", "alerts", "metrics"] as const),
];

function checkHeartbeat(pair: Construct, settings: HeartbeatProps, props: DrbdNfsPairProps): void {
  const foreign = PACEMAKERS.filter((name) => props[name] !== undefined).map((name) => `'${name}'`);
  if (foreign.length) {
    refuse(pair, {
      code: "conflicting-setting",
      what: `${foreign.join(", ")} beside Manager.heartbeat`,
      allowed: `none of ${PACEMAKERS.join(", ")}: Heartbeat has nothing that would use it`,
      fix: `leave ${foreign.join(", ")} out, or 'manager' for Pacemaker`,
    });
  }
  if (props.virtualIp.mode !== "layer2") {
    refuse(pair, {
      code: "virtual-ip-mode",
      what: `the pair's address moves by ${props.virtualIp.mode}`,
      allowed: "VirtualIp.layer2: Heartbeat's IPaddr2 knows no other way",
      fix: "VirtualIp.layer2(\"10.0.1.90/27\"), or leave 'manager' out for Pacemaker",
    });
  }
  checkTimes(pair, settings);
  warn(pair, {
    code: "split-brain-accepted",
    what: "Heartbeat has no third vote and switches nobody off: a cut between the two nodes makes both serve and both write",
    allowed: "Manager.pacemaker(), with 'quorum' and 'fencing'",
    fix: "as it is, a person has to choose after each cut, and everything that the other node has acknowledged since is lost",
  });
}

function checkTimes(pair: Construct, settings: HeartbeatProps): void {
  for (const name of ["keepalive", "warntime", "deadtime", "initdead"] as const) {
    checkCount(pair, name, settings[name], 1, 600, "seconds");
  }
  const { keepalive, warntime, deadtime, initdead } = heartbeatTimes(settings);
  const least = MISSED_AFTER + keepalive + 1;
  if (deadtime < least) {
    refuse(pair, {
      code: "deadtime-too-short",
      what: `'deadtime' is ${deadtime} s`,
      allowed: `from ${least} s on: DRBD misses a dead peer after ${MISSED_AFTER} s, which may have been silent for ${keepalive} s less; until then nobody else can become primary`,
      fix: "leave it out for 10",
    });
  }
  if (!(keepalive < warntime && warntime < deadtime && initdead >= 2 * deadtime)) {
    refuse(pair, {
      code: "heartbeat-times",
      what: `keepalive ${keepalive}, warntime ${warntime}, deadtime ${deadtime}, initdead ${initdead} s`,
      allowed:
        "keepalive < warntime < deadtime, and 'initdead' twice 'deadtime' at least: after a boot the network comes late",
      fix: "leave them out for 1, 3, 10 and 20",
    });
  }
}
