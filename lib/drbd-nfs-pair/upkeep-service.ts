import { CALENDAR_CHECK, repeated, scheduled } from "../push/scheduled";
import type { Service, ServiceDescription } from "../push/service";
import { alerts, type NfsAlertsProps } from "./alerts";
import { PROGRAMS } from "./layout";
import { program, script, type NodePart } from "./node-part";

export interface UpkeepModel {
  /** systemd's calendar expression of the comparison of both copies. */
  readonly verifySchedule: string;
  readonly alerts?: NfsAlertsProps;
}

const UNIT = "cdktf-ha-nfs-upkeep";

/** What is done for a pair while it serves: it grows with its disks, its copies are compared, people are told. */
export class UpkeepService implements Service {
  readonly name = "nfs-upkeep";

  constructor(private readonly model: UpkeepModel) {}

  describe(): ServiceDescription {
    const { model } = this;
    const parts: NodePart[] = [...(model.alerts ? [alerts(model.alerts)] : []), upkeep(model)];
    const all = <T>(list: (part: NodePart) => readonly T[] | undefined): T[] =>
      parts.flatMap((part) => list(part) ?? []);
    const shell = (hook: (part: NodePart) => string | undefined): string =>
      parts.map((part) => `${hook(part) ?? ":"}\n`).join("");
    return {
      packages: all(({ packages }) => packages),
      onPackageChange: "none",
      files: [
        ...all(({ files }) => files),
        ...repeated({
          unit: UNIT,
          description: "Upkeep of the NFS pair",
          interval: 60,
          commands: all(({ everyMinute }) => everyMinute).map((name) => `/bin/bash ${PROGRAMS}/${name}`),
          timeout: "10min",
        }),
      ],
      units: [`${UNIT}.timer`, ...all(({ units }) => units)],
      secrets: all(({ secrets }) => secrets),
      hooks: {
        check: `${script("split-check.sh")}\n${CALENDAR_CHECK}`,
        settle: shell(({ activate }) => activate),
        leave: shell(({ leave }) => leave),
      },
    };
  }
}

function upkeep({ verifySchedule }: UpkeepModel): NodePart {
  const verify = scheduled({
    unit: "cdktf-ha-nfs-verify",
    description: "Compares both copies of the NFS pair's volume",
    schedule: verifySchedule,
    command: `/bin/bash ${PROGRAMS}/verify.sh`,
    requisite: "pacemaker.service",
  });
  return {
    files: [
      program("change-key.sh"),
      program("grow.sh"),
      program("verify.sh"),
      {
        path: "/usr/local/sbin/nfs-pair-split",
        text: script("split.sh"),
        mode: "0755",
        onChange: "none",
      },
      ...verify.files,
    ],
    units: [verify.unit],
    // last: it fails, aloud and again and again, where a disk has shrunk
    everyMinute: ["change-key.sh", "quotas.sh", "grow.sh"],
    leave: "rm --recursive --force /var/lib/cdktf-ha-nfs/verified",
  };
}
