import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

interface Synthesized {
  readonly resource?: Record<string, Record<string, object>>;
}

/** Names of the examples. */
export function exampleNames(root: string): string[] {
  const names = readdirSync(join(root, "examples"));
  return names.filter((name) => existsSync(join(root, "examples", name, "main.ts"))).sort();
}

/** Synthesizes one example as `cdktf synth` does; its stacks by name. */
export function synthesizeExample(root: string, name: string): Record<string, Synthesized> {
  const directory = mkdtempSync(join(tmpdir(), "cdktf-ha-example-"));
  const example = join(root, "examples", name);
  const { context = {} } = JSON.parse(readFileSync(join(example, "cdktf.json"), "utf8")) as {
    context?: object;
  };
  try {
    const { status, stderr } = spawnSync("npx", ["tsx", "main.ts"], {
      cwd: example,
      env: { ...process.env, CDKTF_OUTDIR: directory, CDKTF_CONTEXT_JSON: JSON.stringify(context) },
      encoding: "utf8",
    });
    if (status !== 0) throw new Error(`examples/${name} does not synthesize:\n${stderr}`);
    const stacks = readdirSync(join(directory, "stacks"));
    return Object.fromEntries(
      stacks.map((stack) => [
        stack,
        JSON.parse(readFileSync(join(directory, "stacks", stack, "cdk.tf.json"), "utf8")) as Synthesized,
      ]),
    );
  } finally {
    rmSync(directory, { recursive: true });
  }
}

/** What each example would create. */
export function describeExamples(root: string): void {
  for (const name of exampleNames(root)) {
    for (const [stack, { resource = {} }] of Object.entries(synthesizeExample(root, name))) {
      console.log(`examples/${name}, stack ${stack}, would create:`);
      for (const [type, resources] of Object.entries(resource).sort()) {
        console.log(`  ${String(Object.keys(resources).length).padStart(4)} ${type}`);
      }
    }
  }
}
