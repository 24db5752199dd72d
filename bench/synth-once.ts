import { mkdtempSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { App, TerraformStack } from "cdktf";
import { build as buildLibrary } from "./library";
import { build as buildRaw, type RawTexts } from "./raw";

/** One synthesis in a process of its own: `synth-once.ts library|raw MACHINES TEXTS`. */
const [, , which, machines, texts] = process.argv as [string, string, "library" | "raw", string, string];
const outdir = mkdtempSync(join(tmpdir(), "cdktf-ha-bench-"));
try {
  const raw = which === "raw" ? (JSON.parse(readFileSync(texts, "utf8")) as RawTexts) : undefined;
  // processor time, which another program on the computer does not change as much as it does the clock
  const seconds = (): number => {
    const { user, system } = process.cpuUsage();
    return (user + system) / 1e6;
  };
  const start = seconds();
  const app = new App({ outdir });
  const stack = new TerraformStack(app, "stack");
  if (raw) buildRaw(stack, Number(machines), raw);
  else buildLibrary(stack, Number(machines));
  app.synth();
  const end = seconds();
  const path = join(outdir, "stacks/stack/cdk.tf.json");
  const { resource } = JSON.parse(readFileSync(path, "utf8")) as { resource: Record<string, object> };
  const resources = Object.fromEntries(
    Object.entries(resource).map(([type, all]) => [type, Object.keys(all).length]),
  );
  console.log(
    JSON.stringify({
      seconds: end - start,
      memoryMiB: process.resourceUsage().maxRSS / 1024,
      jsonMiB: statSync(path).size / 2 ** 20,
      resources,
    }),
  );
} finally {
  rmSync(outdir, { recursive: true });
}
