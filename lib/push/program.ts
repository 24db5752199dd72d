import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { TerraformLocal, TerraformStack } from "cdktf";
import type { Construct } from "constructs";
import { escapeTemplate } from "./escape";

let text: string | undefined;

/** The program that runs on machines: the parts of on-machine/, in the order of their numbers. */
export function pushProgram(): string {
  text ??= readdirSync(join(__dirname, "on-machine"))
    .filter((name) => name.endsWith(".sh"))
    .sort()
    .map((name) => readFileSync(join(__dirname, "on-machine", name), "utf8").replace(/^#!.*\n/, ""))
    .join("\n");
  return text;
}

/** The program as a value of the stack: every push names it. */
export function pushProgramOf(scope: Construct): string {
  return shareText(scope, pushProgram(), "cdktf-ha-push-program").reference;
}

/** A text that stands in the synthesized JSON once, however many resources name it. */
export interface SharedText {
  /** A token, to be put into other texts. */
  readonly reference: string;
}

const references = new WeakMap<TerraformLocal, string>();

/** Not at synth: what is added to the tree then may be too late to be written. */
export function shareText(
  scope: Construct,
  text: string,
  id = `cdktf-ha-text-${createHash("sha256").update(text).digest("hex").slice(0, 12)}`,
): SharedText {
  const stack = TerraformStack.of(scope);
  const local = (stack.node.tryFindChild(id) as TerraformLocal | undefined) ?? localOf(stack, id, text);
  // once: every token that cdktf makes has a stack trace, and every push names this one
  let reference = references.get(local);
  if (reference === undefined) references.set(local, (reference = local.asString));
  return { reference };
}

/** Line by line, and joined once: Terraform's time for one string grows with the square of its lines. */
function localOf(stack: TerraformStack, id: string, text: string): TerraformLocal {
  const lines = new TerraformLocal(stack, `${id}-lines`, text.split("\n").map(escapeTemplate));
  return new TerraformLocal(stack, id, `\${join("\\n", local.${lines.friendlyUniqueId})}`);
}
