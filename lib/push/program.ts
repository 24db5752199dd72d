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

/** The program as a value of the stack: every push names it, the JSON holds it once. */
export function pushProgramOf(scope: Construct): string {
  const stack = TerraformStack.of(scope);
  const id = "cdktf-ha-push-program";
  const local =
    (stack.node.tryFindChild(id) as TerraformLocal | undefined) ??
    new TerraformLocal(stack, id, escapeTemplate(pushProgram()));
  return local.asString;
}
