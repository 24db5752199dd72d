import type { Construct } from "constructs";
import type { Machine } from "../platform/machine";
import { refuse, refuseToken } from "../problem";

/** A PostgreSQL that runs already, as Debian's packages made and started it. */
export interface TakeOver {
  /** On the machine of this member, which is the first one by name. */
  readonly member: string;
  /** As `pg_lsclusters` calls it. @default "main" - the one that the package makes */
  readonly cluster?: string;
}

interface Checked extends Construct {
  readonly machines: readonly Machine[];
  readonly props: {
    readonly takeOver?: TakeOver;
    readonly dataVolume?: unknown;
    readonly recovery?: unknown;
    readonly standbyOf?: unknown;
  };
}

export function checkTakeOver(set: Checked): void {
  const { takeOver, ...props } = set.props;
  if (!takeOver) return;
  const { member, cluster = "main" } = takeOver;
  refuseToken(set, "takeOver.cluster", cluster);
  if (!/^[A-Za-z0-9][A-Za-z0-9._-]*$/.test(cluster)) {
    refuse(set, {
      code: "bad-name",
      what: `'takeOver.cluster' is '${cluster}'`,
      allowed: "a cluster's name as pg_lsclusters has it",
      fix: 'leave it out for "main"',
    });
  }
  const names = set.machines.map(({ name }) => name);
  if (!names.includes(member)) {
    refuse(set, {
      code: "unknown-node",
      what: `'takeOver.member' is '${member}'`,
      allowed: names.join(", "),
      fix: "name the member on whose machine PostgreSQL runs",
    });
  }
  if (names[0] !== member) {
    refuse(set, {
      code: "take-over-late",
      what: `'takeOver.member' is '${member}', and '${names[0]}' begins`,
      allowed: "the first member by name: members begin in that order, and the others copy the first one",
      fix: `call its machine something that comes before '${names[0]}'`,
    });
  }
  for (const other of ["dataVolume", "recovery", "standbyOf"] as const) {
    if (props[other] === undefined) continue;
    refuse(set, {
      code: "conflicting-setting",
      what: `the set has 'takeOver' and '${other}'`,
      allowed: {
        dataVolume:
          "the data stays in the file system where it is: a volume comes when the member is replaced",
        recovery: "one beginning",
        standbyOf: "one beginning",
      }[other],
      fix: `leave '${other}' out`,
    });
  }
}
