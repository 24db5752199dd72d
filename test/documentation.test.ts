import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import ts from "typescript";
import * as library from "../lib";

const { PROBLEM_CODES } = library;

const root = join(__dirname, "..");
const read = (path: string): string => readFileSync(join(root, path), "utf8");

test("docs/problems.md lists every code with its reason, and no other", () => {
  const listed = [...read("docs/problems.md").matchAll(/^\| `([a-z0-9-]+)`\s*\| (.+?)\s*\|$/gm)].map(
    ([, code, reason]) => [code, reason],
  );
  expect(Object.fromEntries(listed)).toEqual(PROBLEM_CODES);
});

const pages = ["README.md", ...readdirSync(join(root, "docs")).map((page) => `docs/${page}`)];

test.each(pages)("links of %s lead somewhere", (page) => {
  for (const [, link] of read(page).matchAll(/\]\((?!https?:|#)([^)#]+)/g)) {
    expect([link, existsSync(join(root, dirname(page), link!))]).toEqual([link, true]);
  }
});

/** What the pages' samples take for granted. */
const PREAMBLE = `
import { Construct } from "constructs";
import { AwsProvider } from "@cdktf/provider-aws/lib/provider";
import * as all from "../lib";
declare const platform: all.Platform, london: all.Platform, virginia: all.Platform, sydney: all.Platform, aws: all.AwsPlatform, inVirginia: all.AwsPlatformProps, web: all.ServiceTier, certificate: all.Secret, password: all.Secret;
`;

test("the code of every page type-checks", () => {
  const sources = new Map(
    pages
      .filter((page) => page !== "README.md") // its code is an example's: see below
      .map((page): [string, string] => {
        const blocks = [...read(page).matchAll(/```ts\n([\s\S]+?)```/g)].map(([, block]) => block);
        const code = `class Sample extends Construct { constructor(scope: Construct) { super(scope, "s");\n${blocks.join("\n")} } }`;
        const used = Object.keys(library).filter((name) => new RegExp(`\\b${name}\\b`).test(code));
        return [
          join(root, "docs", `${page.replace(/\W/g, "-")}.ts`),
          `${PREAMBLE}import { ${used.join(", ")} } from "../lib";\n${code}\nexport { Sample };`,
        ];
      }),
  );
  const { config } = ts.readConfigFile(join(root, "tsconfig.json"), (path) => readFileSync(path, "utf8"));
  const { options } = ts.parseJsonConfigFileContent(config, ts.sys, root);
  const host = ts.createCompilerHost({ ...options, noEmit: true });
  const plain = { ...host };
  host.fileExists = (path) => sources.has(path) || plain.fileExists(path);
  host.readFile = (path) => sources.get(path) ?? plain.readFile(path);
  host.getSourceFile = (path, language) => {
    const text = sources.get(path);
    return text === undefined
      ? plain.getSourceFile(path, language)
      : ts.createSourceFile(path, text, language);
  };
  const program = ts.createProgram(
    [...sources.keys()],
    { ...options, noEmit: true, noUnusedLocals: false },
    host,
  );
  const problems = ts
    .getPreEmitDiagnostics(program)
    .filter(({ file }) => file !== undefined && sources.has(file.fileName))
    .map(
      ({ file, messageText }) => `${file!.fileName}: ${ts.flattenDiagnosticMessageText(messageText, " ")}`,
    );
  expect(problems).toEqual([]);
});

test("the code of the README is the code of an example", () => {
  const sample = /```ts\n([\s\S]+?)```/.exec(read("README.md"))![1]!.trim();
  const example = read("examples/load-balancer/main.ts");
  const squeeze = (text: string): string => text.replace(/\s+/g, " ");
  expect(squeeze(example)).toContain(squeeze(sample));
});
