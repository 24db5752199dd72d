import { Construct, type IConstruct } from "constructs";
import { refuse, warn, type Problem } from "../problem";
import { mistakeIn, mistakeInArguments, unreadIn } from "./mistake";
import { SHAPES } from "./shapes";

/**
 * Refuses what the type of a construct's props does not allow: plain JavaScript has nobody else who would.
 * @param missing what there is to say of a setting that is missing, besides its kind
 */
export function checkProps(
  scope: IConstruct,
  type: string,
  props: unknown,
  missing: Readonly<Record<string, Omit<Problem, "what">>> = {},
): void {
  const mistake = mistakeIn(["is", type], props, "");
  if (!mistake) {
    // whoever extends a construct may have settings of its own
    if (`${scope.constructor.name}Props` === type) warnOfUnread(scope, unreadIn(type, props));
    return;
  }
  const own = Object.keys(missing).find((name) => mistake.what === `'${name}' is missing`);
  refuse(scope, { ...mistake, ...(own && missing[own]) });
}

function warnOfUnread(scope: IConstruct, names: readonly string[]): void {
  for (const name of names) {
    warn(scope, {
      code: "unknown-setting",
      what: `nothing reads '${name}'`,
      allowed:
        "the construct's own settings, where its documentation has them: some belong into another one's",
      fix: "look where it belongs, or take it out",
    });
  }
}

/** The library's own calls of itself are TypeScript's to check. */
let inside = false;

/** Lets every function and method of the exports that takes something of the user's look at it first. */
export function guard(exported: Readonly<Record<string, unknown>>): void {
  for (const [call, parameters] of Object.entries(SHAPES.calls)) {
    const [owner, method] = call.split(/[.#]/) as [string, string];
    const itself = exported[owner] as Record<string, unknown> & {
      readonly prototype: Record<string, unknown>;
    };
    const home = call.includes("#") ? itself.prototype : itself;
    const plain = home[method] as (...given: unknown[]) => unknown;
    const guarded = function (this: unknown, ...given: unknown[]): unknown {
      if (inside) return plain.apply(this, given);
      const mistake = mistakeInArguments(parameters, given);
      if (mistake) refuse(Construct.isConstruct(this) ? this : call.replace("#", "."), mistake);
      inside = true;
      try {
        return plain.apply(this, given);
      } finally {
        inside = false;
      }
    };
    Object.defineProperty(home, method, {
      value: guarded,
      writable: true,
      configurable: true,
      enumerable: false,
    });
  }
}
