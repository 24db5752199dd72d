import { Annotations, Aspects, Token } from "cdktf";
import type { IConstruct } from "constructs";
import type { ProblemCode } from "./problem-codes";

/** One mistake in what the user wrote: what is wrong, what would be right, what to change. */
export interface Problem {
  /** Stable; listed with its reason in docs/problems.md. */
  readonly code: ProblemCode;
  /** The wrong value, in a sentence. */
  readonly what: string;
  /** The values that are right, and why only those. */
  readonly allowed: string;
  /** What to change in the code. */
  readonly fix: string;
}

/** Thrown where a value is wrong on its own. Problems that show only in the whole topology are told at synth, together. */
export class InvalidInput extends Error {
  constructor(
    /** Construct path of whoever was given the value. */
    readonly path: string,
    readonly problem: Problem,
  ) {
    super(shown(path, problem));
    this.name = "InvalidInput";
  }

  get code(): ProblemCode {
    return this.problem.code;
  }
}

/** Stops: the value can never work. */
export function refuse(scope: IConstruct | string, problem: Problem): never {
  throw new InvalidInput(typeof scope === "string" ? scope : scope.node.path, problem);
}

/** Goes on: the value works, but not as well as its author may think. Shown by `cdktf synth`. */
export function warn(scope: IConstruct, problem: Problem): void {
  Annotations.of(scope).addWarning(shown(scope.node.path, problem));
}

/** The same, when everything has been said. */
export function warnAtSynth(scope: IConstruct, problems: () => readonly Problem[]): void {
  whenAllIsSaid(scope, () => {
    for (const problem of problems()) warn(scope, problem);
  });
}

/** Nothing is wrong: what the author should know of what was asked for. Shown by `cdktf synth`. */
export function tell(scope: IConstruct, text: string): void {
  Annotations.of(scope).addInfo(`${scope.node.path}: ${text}`);
}

/** An aspect runs when everything has been said, and before warnings are shown and anything is synthesized. */
export function whenAllIsSaid(scope: IConstruct, act: () => void): void {
  Aspects.of(scope).add({
    visit: (node) => {
      if (node === scope) act();
    },
  });
}

/** Looks at the whole when everything has been said: all problems of the stack are reported together. */
export function checkAtSynth(scope: IConstruct, problems: () => readonly Problem[]): void {
  scope.node.addValidation({
    validate: () => problems().map((problem) => shown(scope.node.path, problem)),
  });
}

/** A token as text, list, map or number. */
const TOKENS = /[$#&]\{TfToken\[[^\]]*\]\}|-\d(\.\d+)?e\+2[89]\d/g;

/** What a person reads: a token says nothing to anybody. */
function shown(path: string, problem: Problem): string {
  return problemText(path, problem).replace(TOKENS, "(known when Terraform runs)");
}

/** What is shown of a problem; Terraform fills in the tokens. */
export function problemText(path: string, { code, what, allowed, fix }: Problem): string {
  return `${path}: ${what} [${code}]\n  allowed: ${allowed}\n  fix: ${fix}`;
}

/** Is the value only known when Terraform runs? Such a value is passed on and never judged. */
export function isToken(value: unknown): boolean {
  return Token.isUnresolved(value);
}

/** Refuses a token where the code itself must know the value. */
export function refuseToken(scope: IConstruct | string, name: string, value: unknown): void {
  if (isToken(value)) {
    refuse(scope, {
      code: "concrete-value-needed",
      what: `'${name}' is only known when Terraform runs`,
      allowed: "a value that stands in the code: machines, zones and names decide which resources there are",
      fix: `write '${name}' out, or read it from the environment or a file of your own`,
    });
  }
}

/** Refuses a number that is not between the two, which are allowed. */
export function checkRange(
  scope: IConstruct | string,
  name: string,
  value: number | undefined,
  low: number,
  high: number,
  why: string,
): void {
  refuseToken(scope, name, value);
  if (value === undefined || (value >= low && value <= high)) return;
  refuse(scope, {
    code: "number-out-of-range",
    what: `'${name}' is ${value}`,
    allowed: `${low} to ${high}: ${why}`,
    fix: "leave it out for the default",
  });
}

/** The same for whole numbers. */
export function checkCount(...[scope, name, value, low, high, why]: Parameters<typeof checkRange>): void {
  if (value !== undefined && !isToken(value) && !Number.isInteger(value)) {
    refuse(scope, {
      code: "number-out-of-range",
      what: `'${name}' is ${value}`,
      allowed: `whole numbers from ${low} to ${high}: ${why}`,
      fix: "round it, or leave it out for the default",
    });
  }
  checkRange(scope, name, value, low, high, why);
}

/** The same where Terraform may know the number: it is judged only where the code does. */
export function checkCountIfKnown(...given: Parameters<typeof checkRange>): void {
  if (!isToken(given[2])) checkCount(...given);
}

/** Refuses a name that is known already. */
export function refuseTwice(
  scope: IConstruct,
  kind: string,
  known: { has(name: string): boolean },
  name: string,
): void {
  if (!known.has(name)) return;
  refuse(scope, {
    code: "duplicate-name",
    what: `a second ${kind} '${name}'`,
    allowed: `one ${kind} of a name`,
    fix: "choose another name",
  });
}

/** The machine counts whole seconds. */
export function checkSeconds(scope: IConstruct | string, name: string, value: number | undefined): void {
  checkCount(scope, name, value, 1, 86_400, "seconds");
}
