import { isToken, type Problem } from "../problem";
import type { Settings, Shape } from "./shape";
import { SHAPES } from "./shapes";

/**
 * The first thing in a value that its type does not allow: what TypeScript would have said of plain JavaScript. Nothing is
 * said of tokens.
 * @param at the value's name, with which messages begin; empty for settings that have no name together
 */
export function mistakeIn(shape: Shape, value: unknown, at: string): Problem | undefined {
  if (shape === "anything" || isToken(value)) return undefined;
  if (!fits(shape, value)) return wrongKind(shape, value, at);
  if (typeof shape === "string") return undefined;
  const [kind, of] = shape;
  switch (kind) {
    case "list":
      return first((value as unknown[]).entries(), ([index, each]) => mistakeIn(of, each, `${at}[${index}]`));
    case "record":
      return first(Object.entries(value as object), ([name, each]) => mistakeIn(of, each, inside(at, name)));
    case "settings":
      return mistakeInSettings(of, value as object, at);
    case "is": {
      const { settings } = SHAPES.things[of]!;
      return settings && mistakeInSettings(settings, value as object, at);
    }
    case "or": {
      const mistakes = alternatives(shape)
        .filter((other) => fits(other, value))
        .map((other) => ({ mistake: mistakeIn(other, value, at), likeness: likeness(other, value) }));
      if (mistakes.some(({ mistake }) => !mistake)) return undefined;
      return mistakes.sort((a, b) => b.likeness - a.likeness)[0]!.mistake;
    }
    default:
      return undefined;
  }
}

/**
 * Misspelled names come first: one that is missing may only be misspelled. Other names that nothing reads pass, as in TypeScript,
 * where props may be extended, and one object may be given to several calls.
 */
function mistakeInSettings(settings: Settings, value: object, at: string): Problem | undefined {
  const known = parametersOf(settings);
  const given = namesIn(value);
  const notGiven = [...known.keys()].filter((name) => !given.includes(name));
  const misspelled = first(given, (name) => {
    const meant = known.has(name) ? undefined : (nearest(name, notGiven) ?? begunBy(name, notGiven));
    return meant === undefined ? undefined : unknownSetting(name, meant, [...known.keys()], at);
  });
  if (misspelled) return misspelled;
  return first(known, ([name, { shape, optional }]) => {
    const each = (value as Record<string, unknown>)[name];
    return each === undefined && optional ? undefined : mistakeIn(shape, each, inside(at, name));
  });
}

/** Names in a value that its type does not have. */
export function unreadIn(type: string, value: unknown): string[] {
  const { settings } = SHAPES.things[type]!;
  if (!settings || !isObject(value)) return [];
  const known = parametersOf(settings);
  return namesIn(value).filter((name) => !known.has(name));
}

/** What is given in an object that is written as `{ ... }`. */
function namesIn(value: object): string[] {
  if (!isPlain(value)) return [];
  return Object.entries(value).flatMap(([name, each]) => (each === undefined ? [] : [name]));
}

/** The same for what a function is called with. */
export function mistakeInArguments(parameters: Settings, given: readonly unknown[]): Problem | undefined {
  return first([...parametersOf(parameters)].entries(), ([index, [name, { shape, optional, rest }]]) => {
    const at = name === "props" ? "" : name;
    if (rest) return mistakeIn(["list", shape], given.slice(index), at);
    return given[index] === undefined && optional ? undefined : mistakeIn(shape, given[index], at);
  });
}

/** Is it of this kind, seen from outside? */
function fits(shape: Shape, value: unknown): boolean {
  switch (shape) {
    case "anything":
      return true;
    case "text":
      return typeof value === "string";
    case "number":
      return typeof value === "number" && !Number.isNaN(value);
    case "flag":
      return typeof value === "boolean";
    case "function":
      return typeof value === "function";
  }
  switch (shape[0]) {
    case "word":
      return value === shape[1];
    case "list":
      return Array.isArray(value);
    case "or":
      return isToken(value) || alternatives(shape).some((other) => fits(other, value));
    case "is": {
      // by its members, not by its class: several copies of this package may be loaded, and anybody may make a Platform
      const { members = [] } = SHAPES.things[shape[1]]!;
      return isObject(value) && members.every((member) => member in value);
    }
    default:
      return isObject(value);
  }
}

function wrongKind(shape: Shape, value: unknown, at: string): Problem {
  const name = at || "props";
  const makers = makersOf(shape).filter((maker) => !(isCertificate(name) && maker === "Secret.generated"));
  const things = shape[0] === "is" ? NO_MAKERS[shape[1]] : undefined;
  const leaveOut = value === null ? ", or leave it out for the default" : "";
  return {
    code: "wrong-kind",
    what:
      value === undefined
        ? `'${name}' is missing`
        : `'${name}' is ${inWords(value, isShowable(shape))}${lackOf(shape, value)}`,
    allowed: described(shape),
    fix:
      (things ??
        (makers.length ? makers.map((maker) => `${maker}(...)`).join(", ") : `give '${name}' such a value`)) +
      leaveOut,
  };
}

/** A machine can make up a password, and no certificate. */
function isCertificate(name: string): boolean {
  return /certificates?(\[\d+\])?$/i.test(name);
}

/** What a platform, a service or a target of somebody's own has forgotten. */
function lackOf(shape: Shape, value: unknown): string {
  if (shape[0] !== "is" || !isObject(value)) return "";
  const { members = [] } = SHAPES.things[shape[1]]!;
  const missing = members.filter((member) => !(member in value));
  return missing.length && missing.length < members.length ? ` without ${missing.join(", ")}` : "";
}

function unknownSetting(name: string, meant: string, names: readonly string[], at: string): Problem {
  return {
    code: "unknown-setting",
    what: `nothing reads '${inside(at, name)}'`,
    allowed: names.join(", "),
    fix: `did you mean '${meant}'?`,
  };
}

/** A value for a message. What stands where a secret belongs may be one. */
function inWords(value: unknown, showable: boolean): string {
  if (typeof value === "string") return showable ? shortened(JSON.stringify(value)) : "a text";
  if (typeof value === "number") return `the number ${value}`;
  if (typeof value === "function") return value.name ? `the function or class ${value.name}` : "a function";
  if (Array.isArray(value)) return value.length ? "a list" : "an empty list";
  if (!isObject(value)) return String(value);
  return isPlain(value) ? "an object" : `a ${value.constructor.name}`;
}

function shortened(text: string): string {
  return text.length > 60 ? `${text.slice(0, 57)}..."` : text;
}

/** What the kind is called; inside of others in fewer words. */
function described(shape: Shape, isInside = false): string {
  const part = (of: Shape): string => described(of, true);
  switch (shape) {
    case "anything":
      return "anything";
    case "text":
      return "a text";
    case "number":
      return "a number";
    case "flag":
      return "true or false";
    case "function":
      return "a function";
  }
  switch (shape[0]) {
    case "word":
      return JSON.stringify(shape[1]);
    case "list":
      return `a list, each of it ${part(shape[1])}`;
    case "record":
      return `an object that has, by name, ${part(shape[1])}`;
    case "or":
      return alternatives(shape)
        .map((other) => described(other, isInside))
        .join(isInside ? " or " : ", or ");
    case "settings":
      return `an object with ${Object.keys(shape[1]).map(plainName).join(", ")}`;
    case "is": {
      const { settings } = SHAPES.things[shape[1]]!;
      if (settings) return isInside ? shape[1] : described(["settings", settings]);
      return `${/^[AEIOU]/.test(shape[1]) ? "an" : "a"} ${shape[1]}`;
    }
  }
}

/** Kinds that functions of another name make. */
const MAKERS: Readonly<Record<string, string[]>> = {
  Platform: ["new SshPlatform", "new AwsPlatform"],
  VariableSecret: ["Secret.variable"],
  Workload: ["Workload.general", "Workload.manySmallUpdates"],
  Timers: ["Timers.fast", "Timers.normal", "Timers.patient", "Timers.of"],
  Peer: ["Peer.cidr", "Peer.anyone"],
};

/** Kinds that no function makes, and what is of them. */
const NO_MAKERS: Readonly<Record<string, string>> = {
  Balanceable:
    "a ServiceTier, Servers.at(...), or 'primary', 'replicas', 'synchronousReplica' or 'pooled' of a replica set",
};

/** Functions that make such a value. */
function makersOf(shape: Shape): string[] {
  if (typeof shape === "string") return [];
  if (shape[0] === "list") return makersOf(shape[1]);
  if (shape[0] === "or") return alternatives(shape).flatMap(makersOf);
  if (shape[0] !== "is") return [];
  const others = MAKERS[shape[1]];
  if (others) return others;
  const maker = shape[1] === "MovingAddress" ? "VirtualIp" : shape[1];
  return Object.keys(SHAPES.calls).filter((call) => call.startsWith(`${maker}.`));
}

function isShowable(shape: Shape): boolean {
  if (typeof shape === "string") return true;
  if (shape[0] === "or") return alternatives(shape).every(isShowable);
  return shape[0] === "word";
}

/** The longer names are, the more letters of them may be wrong: of short ones that are like each other, both may be meant. */
export function nearest(name: string, names: readonly string[]): string | undefined {
  const distances = names.map((other) => [distance(name.toLowerCase(), other.toLowerCase()), other] as const);
  const [best] = distances.sort(([a], [b]) => a - b);
  const wrong = Math.min(name.length - 1, 3, Math.max(1, Math.floor(name.length / 4)));
  return best && best[0] <= wrong ? best[1] : undefined;
}

/** The only name that begins so: `purge` of `purgers`, `memory` of `memoryMiB`. Of two letters anything may be the beginning. */
function begunBy(start: string, names: readonly string[]): string | undefined {
  const longer = names.filter((name) => name.startsWith(start));
  return start.length > 2 && longer.length === 1 ? longer[0] : undefined;
}

/** Letters to change, to add, to take away, or to swap with the next one (Damerau and Levenshtein). */
function distance(one: string, other: string): number {
  let before: number[] = [];
  let row = Array.from({ length: other.length + 1 }, (_, index) => index);
  for (let i = 0; i < one.length; i++) {
    const next = [i + 1];
    for (let j = 0; j < other.length; j++) {
      const isSwapped = j > 0 && one[i] === other[j - 1] && one[i - 1] === other[j];
      next.push(
        Math.min(
          row[j + 1]! + 1,
          next[j]! + 1,
          row[j]! + (one[i] === other[j] ? 0 : 1),
          isSwapped ? before[j - 1]! + 1 : Infinity,
        ),
      );
    }
    [before, row] = [row, next];
  }
  return row.at(-1)!;
}

/** How many of the value's names the alternative knows. */
function likeness(shape: Shape, value: unknown): number {
  const settings =
    shape[0] === "settings" ? shape[1] : shape[0] === "is" ? SHAPES.things[shape[1]]!.settings : undefined;
  const names = Object.keys((settings as Settings | undefined) ?? {}).map(plainName);
  return isObject(value) ? Object.keys(value).filter((name) => names.includes(name)).length : 0;
}

function alternatives(shape: readonly ["or", ...Shape[]]): readonly Shape[] {
  return shape.slice(1) as Shape[];
}

function isObject(value: unknown): value is object {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** Written as `{ ... }`: an object of somebody's class may have more than is asked for. */
function isPlain(value: object): boolean {
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === null || Object.getPrototypeOf(prototype) === null;
}

function inside(at: string, name: string): string {
  return at === "" ? name : `${at}.${name}`;
}

interface Parameter {
  readonly shape: Shape;
  readonly optional: boolean;
  readonly rest: boolean;
}

const read = new WeakMap<Settings, ReadonlyMap<string, Parameter>>();

/** By their names alone. */
function parametersOf(settings: Settings): ReadonlyMap<string, Parameter> {
  let known = read.get(settings);
  if (!known) {
    const entries = Object.entries(settings).map(([name, shape]): [string, Parameter] => [
      plainName(name),
      { shape, optional: name.endsWith("?"), rest: name.startsWith("...") },
    ]);
    read.set(settings, (known = new Map(entries)));
  }
  return known;
}

function plainName(name: string): string {
  return name.replace(/^\.\.\.|\?$/g, "");
}

function first<T>(values: Iterable<T>, look: (value: T) => Problem | undefined): Problem | undefined {
  for (const value of values) {
    const found = look(value);
    if (found) return found;
  }
  return undefined;
}
