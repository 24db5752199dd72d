import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { App, TerraformStack } from "cdktf";
import { Template } from "../lib/testing";
import { build } from "./library";
import type { RawTexts } from "./raw";

/**
 * `npm run bench`: what the library costs over cdktf's own classes, as ratios of one run. Goals: the same resources in at
 * most 1.25 times the time, growing no faster than the number of machines to the power of 1.1, loaded in at most 150 ms more
 * than cdktf itself.
 */
interface Run {
  readonly seconds: number;
  readonly memoryMiB: number;
  readonly jsonMiB: number;
  readonly resources: Record<string, number>;
}

const SIZES = process.argv.length > 2 ? process.argv.slice(2).map(Number) : [100, 300, 1000, 2000];
const ROUNDS = 3;
const directory = mkdtempSync(join(tmpdir(), "cdktf-ha-bench-"));

function main(): void {
  const texts = join(directory, "texts.json");
  writeFileSync(texts, JSON.stringify(rawTexts()));
  console.log("machines  resources   raw s  library s  ratio   raw MiB  library MiB  JSON MiB raw / library");
  const points: [number, number][] = [];
  for (const size of SIZES) {
    const runs = [...Array(ROUNDS).keys()].map(() => ({
      raw: once("raw", size, texts),
      library: once("library", size, texts),
    }));
    const { raw, library } = runs[0]!;
    if (JSON.stringify(sorted(raw.resources)) !== JSON.stringify(sorted(library.resources))) {
      throw new Error(
        `not the same resources:\n${JSON.stringify(raw.resources)}\n${JSON.stringify(library.resources)}`,
      );
    }
    const count = Object.values(library.resources).reduce((sum, one) => sum + one, 0);
    const time = (which: "raw" | "library"): number => median(runs.map((pair) => pair[which].seconds));
    const ratio = median(runs.map((pair) => pair.library.seconds / pair.raw.seconds));
    points.push([Math.log(size), Math.log(time("library"))]);
    console.log(
      [
        String(size).padStart(8),
        String(count).padStart(10),
        time("raw").toFixed(2).padStart(7),
        time("library").toFixed(2).padStart(10),
        ratio.toFixed(2).padStart(6),
        raw.memoryMiB.toFixed(0).padStart(9),
        library.memoryMiB.toFixed(0).padStart(12),
        `${raw.jsonMiB.toFixed(1)} / ${library.jsonMiB.toFixed(1)}`.padStart(20),
      ].join(" "),
    );
  }
  console.log(`growth: time ~ machines ^ ${slope(points).toFixed(2)}`);
  const [cdktf, all] = importTimes();
  console.log(
    `import: cdktf ${cdktf.toFixed(0)} ms, this package ${all.toFixed(0)} ms: ${(all - cdktf).toFixed(0)} ms more`,
  );
}

function once(which: "raw" | "library", machines: number, texts: string): Run {
  const args = [
    "--max-old-space-size=12000",
    "--import",
    "tsx",
    join(__dirname, "synth-once.ts"),
    which,
    String(machines),
    texts,
  ];
  const { status, stdout, stderr } = spawnSync(process.execPath, args, {
    encoding: "utf8",
    maxBuffer: 2 ** 26,
  });
  if (status !== 0) throw new Error(stderr);
  return JSON.parse(stdout) as Run;
}

/** The library's own texts, with names in the place of values: what an author without it would keep in templates. */
function rawTexts(): RawTexts {
  const stack = new TerraformStack(new App({ outdir: directory }), "stack");
  build(stack, 4);
  const { locals = {} } = Template.synth(stack).json;
  const services: Record<string, Record<string, string[]>> = {};
  for (const [name, contents] of Object.entries(locals)) {
    if (typeof contents === "string" || Array.isArray(contents)) continue;
    const self = /(lb|web)-0-(\d)/.exec(name)!;
    const kind = name.includes("base") ? `${self[1]}-machine` : /-(site|haproxy|keepalived)_/.exec(name)![1]!;
    services[kind] ??= Object.fromEntries(
      Object.entries(contents as Record<string, string[]>).map(([file, lines]) => [
        file,
        lines.map(placeholders),
      ]),
    );
  }
  const [drain, undrain] = Object.keys(locals).filter((name) => /^cdktf-ha-text-\w+$/.test(name));
  const text = (name: string): string => (locals[`${name}-lines`] as string[]).join("\n");
  return {
    program: text("cdktf-ha-push-program"),
    drain: text(drain!),
    undrain: text(undrain!),
    services,
  };
}

function placeholders(line: string): string {
  return line
    .replace(/\$\{local\.cdktf-ha-push-program\}/g, "")
    .replace(/\$\{aws_network_interface\.\w+?_(lb|web)-0-(\d)\S*?private_ip\}/g, "<$1-$2>")
    .replace(/\$\{aws_network_interface\.\S+?\.id\}/g, "<nic>")
    .replace(/\$\{aws_eip\.\S+?allocation_id\}/g, "<allocation>")
    .replace(/\$\{aws_eip\.\S+?public_ip\}/g, "<eip>");
}

function importTimes(): [number, number] {
  const time = (what: string): number =>
    median(
      [...Array(9).keys()].map(() => {
        const script = `const t = process.hrtime.bigint(); ${what}; console.log(Number(process.hrtime.bigint() - t) / 1e6)`;
        const { stdout, stderr } = spawnSync(process.execPath, ["-e", script], {
          cwd: join(__dirname, ".."),
          encoding: "utf8",
        });
        if (!stdout) throw new Error(stderr);
        return Number(stdout);
      }),
    );
  const alone = 'require("constructs"); require("cdktf")';
  return [time(alone), time(`${alone}; require("cdktf-ha-clusters")`)];
}

/** Least squares. */
function slope(points: readonly [number, number][]): number {
  const mean = (index: 0 | 1): number => points.reduce((sum, point) => sum + point[index], 0) / points.length;
  const [x, y] = [mean(0), mean(1)];
  const above = points.reduce((sum, [a, b]) => sum + (a - x) * (b - y), 0);
  return above / points.reduce((sum, [a]) => sum + (a - x) ** 2, 0);
}

function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)]!;
}

function sorted(record: Record<string, number>): [string, number][] {
  return Object.entries(record).sort(([a], [b]) => (a < b ? -1 : 1));
}

try {
  main();
} finally {
  rmSync(directory, { recursive: true });
}
