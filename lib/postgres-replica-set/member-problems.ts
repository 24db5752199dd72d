import type { Construct } from "constructs";
import type { Machine } from "../platform/machine";
import { isToken, refuse, warn } from "../problem";
import { delayMilliseconds, saidOf, sourcesOf, type MemberRole, type Members } from "./members";
import type { Synchronous } from "./patroni-yml";

/** What the checks ask of a set. */
interface Checked extends Construct {
  readonly machines: readonly Machine[];
  readonly synchronous: Synchronous;
  readonly props: { readonly members: Members | number };
  role(name: string): MemberRole;
}

/** What members are for: each alone, and whether what is left can be a set. */
export function checkMembers(set: Checked): void {
  for (const { name } of set.machines) {
    checkDelay(set, name);
    checkSource(set, name);
    checkWords(set, name);
  }
  const leaders = set.machines.filter(({ name }) => !set.role(name).noFailover);
  if (!leaders.length) {
    refuse(set, {
      code: "nobody-leads",
      what: "no member may lead",
      allowed: "two at least that may: one that leads, and one that takes over",
      fix: "take 'noFailover' or 'applyDelay' off a member",
    });
  }
  checkWaitedFor(set);
}

/** Is there somebody that a commit can wait for, whoever leads? What the number of members forbids is said elsewhere. */
function checkWaitedFor(set: Checked): void {
  const { machines, synchronous } = set;
  const wanted = { off: 0, on: 2, strict: 3 }[synchronous];
  const waitedFor = machines.filter(({ name }) => {
    const { noSync, replicateFrom } = set.role(name);
    return !noSync && replicateFrom === undefined;
  });
  if (waitedFor.length >= wanted || waitedFor.length === machines.length) return;
  refuse(set, {
    code: "no-standby",
    what: `'synchronous' is "${synchronous}", and commits may wait for ${waitedFor.map(({ name }) => `'${name}'`).join(" and ") || "nobody"} only`,
    allowed: `${wanted} members at least without noFailover, noSync, replicateFrom and applyDelay: one leads, and ${wanted === 2 ? "a commit waits for the other one" : "of the others one may be away"}`,
    fix: `add a member, or take one of these settings off; or synchronous: ${wanted === 2 ? '"off"' : '"on"'}`,
  });
}

function checkDelay(set: Checked, name: string): void {
  const { applyDelay } = set.role(name);
  if (applyDelay === undefined || isToken(applyDelay)) return;
  const milliseconds = delayMilliseconds(applyDelay);
  if (milliseconds === undefined) {
    refuse(set, {
      code: "bad-duration",
      what: `member '${name}' has the applyDelay '${applyDelay}'`,
      allowed: "a whole number from 1 on with ms, s, min, h or d",
      fix: 'applyDelay: "1h"',
    });
  }
  if (milliseconds <= 2 ** 31 - 1) return;
  refuse(set, {
    code: "number-out-of-range",
    what: `member '${name}' has the applyDelay '${applyDelay}'`,
    allowed: "at most 24d: PostgreSQL counts it in milliseconds",
    fix: 'applyDelay: "24d"',
  });
}

function checkSource(set: Checked, name: string): void {
  const { replicateFrom: source } = set.role(name);
  if (source === undefined || isToken(source)) return;
  const names = set.machines.map((machine) => machine.name);
  if (!names.includes(source)) {
    refuse(set, {
      code: "unknown-node",
      what: `member '${name}' replicates from '${source}'`,
      allowed: names.filter((other) => other !== name).join(", ") || "nobody: the set has one member",
      fix: "correct the name, or leave 'replicateFrom' out",
    });
  }
  if (sourcesOf(name, (other) => set.role(other)).includes(name)) {
    refuse(set, {
      code: "replication-circle",
      what: `member '${name}' replicates from '${source}', and so from itself`,
      allowed: "a chain that ends at a member without 'replicateFrom'",
      fix: "leave 'replicateFrom' out at one of them",
    });
  }
  if (set.role(source).applyDelay === undefined) return;
  refuse(set, {
    code: "conflicting-setting",
    what: `member '${name}' replicates from '${source}', which is delayed`,
    allowed: "a source that is not: a delayed one knows a new 'memberPassword' only when its delay is over",
    fix: "replicateFrom another member",
  });
}

/** Words that take back what another one needs. */
function checkWords(set: Checked, name: string): void {
  const said = saidOf(set.props.members, name);
  const needed = {
    ...(said.noFailover === true ? { noSync: "noFailover" } : {}),
    ...(said.applyDelay === undefined
      ? {}
      : { noFailover: "applyDelay", noLoadBalance: "applyDelay", noSync: "applyDelay" }),
  };
  for (const [word, because] of Object.entries(needed)) {
    if (said[word as keyof typeof needed] !== false) continue;
    refuse(set, {
      code: "conflicting-setting",
      what: `member '${name}' has ${because}, and ${word}: false`,
      allowed: `${word} with ${because}: ${because === "noFailover" ? "a commit that only it has would be lost with the primary" : "it shows everything late"}`,
      fix: `leave '${word}' out`,
    });
  }
}

/** What works, but not as well as its author may think. */
export function warnOfMembers(set: Checked): void {
  const leaders = set.machines.filter(({ name }) => !set.role(name).noFailover);
  if (leaders.length > 1 || set.machines.length === 1) return;
  warn(set, {
    code: "no-successor",
    what: `only '${leaders[0]!.name}' may lead: while it is away nobody takes writes`,
    allowed: "two members at least that may",
    fix: "take 'noFailover' off another member, or add one",
  });
}
