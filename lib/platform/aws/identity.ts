import { createHash } from "node:crypto";
import { TerraformStack } from "cdktf";
import type { Construct } from "constructs";
import { refuse } from "../../problem";

const OURS = "cdktf-ha-clusters";

/** Tags of everything: the user's, and the one by which the deployer's policy knows what it may change. */
export function tagsAtAws(
  scope: Construct,
  tags: Readonly<Record<string, string>> = {},
): Readonly<Record<string, string>> {
  if ((tags.ManagedBy ?? OURS) !== OURS) {
    refuse(scope, {
      code: "conflicting-setting",
      what: `the tag ManagedBy is '${tags.ManagedBy}'`,
      allowed: `'${OURS}': the deployer's policy bounds by this tag what may be changed`,
      fix: "choose another key",
    });
  }
  return { ManagedBy: OURS, ...tags };
}

/** A name that is the construct's alone: stack and path. What AWS finds too long ends in a hash of the whole. */
export function nameAtAws(scope: Construct, limit: number, suffix = ""): string {
  const stack = TerraformStack.of(scope);
  const path = scope.node.path.slice(stack.node.path.length + 1).replaceAll("/", "-");
  const name = `${stack.node.id}-${path}`;
  const left = limit - suffix.length;
  if (name.length <= left) return name + suffix;
  return `${name.slice(0, left - 9)}-${createHash("sha256").update(name).digest("hex").slice(0, 8)}${suffix}`;
}
