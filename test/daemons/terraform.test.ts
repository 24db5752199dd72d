import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { App, LocalBackend, TerraformOutput, TerraformStack, TerraformVariable } from "cdktf";
import fc from "fast-check";
import { escapeTemplate } from "../../lib/push/escape";
import { program, testWithNeeds } from "../support/needs";

/** What the real Terraform makes of escaped texts. */
const withTerraform = testWithNeeds([program("terraform")]);
let directory: string;
beforeAll(() => (directory = mkdtempSync(join(tmpdir(), "cdktf-ha-terraform-"))));
afterAll(() => rmSync(directory, { recursive: true }));

const soup = fc
  .array(
    fc.oneof(
      fc.constantFrom(
        "$",
        "%",
        "{",
        "}",
        "${",
        "%{",
        "$${",
        "%%{",
        "~}",
        '"',
        "\\",
        "\\n",
        "'",
        "`",
        "#",
        "//",
        "<<EOF",
        "\t",
        " ",
        "if ",
        "TfToken[",
      ),
      fc.string({ unit: "grapheme", maxLength: 3 }),
    ),
    { maxLength: 12 },
  )
  .map((parts) => parts.join("").normalize("NFC").replaceAll("\0", ""))
  .filter((text) => text.isWellFormed());

withTerraform("every text comes out as it went in, beside values and without", () => {
  const texts = fc.sample(soup, { numRuns: 400, seed: 20260101 });
  const app = new App({ outdir: directory });
  const stack = new TerraformStack(app, "stack");
  new LocalBackend(stack, { path: join(directory, "state.json") });
  const value = new TerraformVariable(stack, "value", { default: "VALUE" }).stringValue;
  const encode = (text: string): string => Buffer.from(text).toString("base64");
  texts.forEach((text, index) => {
    new TerraformOutput(stack, `plain-${index}`, { value: escapeTemplate(text) });
    new TerraformOutput(stack, `beside-${index}`, { value: escapeTemplate(`${text}${value}${text}`) });
  });
  app.synth();
  writeFileSync(join(directory, "terraform.rc"), "");
  const terraform = (...args: string[]): string => {
    const { status, stdout, stderr } = spawnSync("terraform", args, {
      cwd: join(directory, "stacks/stack"),
      env: { ...process.env, TF_CLI_CONFIG_FILE: join(directory, "terraform.rc") },
      encoding: "utf8",
      maxBuffer: 2 ** 28,
    });
    if (status !== 0) throw new Error(stdout.slice(-2000) + stderr.slice(-2000));
    return stdout;
  };
  terraform("init", "-input=false");
  terraform("apply", "-auto-approve", "-input=false");
  const outputs = JSON.parse(terraform("output", "-json")) as Record<string, { value: string }>;
  texts.forEach((text, index) => {
    expect([index, encode(outputs[`plain-${index}`]!.value)]).toEqual([index, encode(text)]);
    expect([index, encode(outputs[`beside-${index}`]!.value)]).toEqual([
      index,
      encode(`${text}VALUE${text}`),
    ]);
  });
});
