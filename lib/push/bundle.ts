import { createHash } from "node:crypto";
import { checkSeconds, refuse } from "../problem";
import { escapeTemplate, hasToken, withoutTokens } from "./escape";
import type { ServiceDescription, ServiceFile } from "./service";

/**
 * One text with everything of one service for one machine, in the format of on-machine/20-bundle.sh; and what tells
 * whether it changed. Pure: it knows nothing of Terraform but that some values are not known yet.
 */
export interface Bundle {
  /**
   * The parts that may hold values of Terraform's, by key, line by line, escaped for its templates: for a `locals` block.
   * Lines, because that is how a reviewer reads the JSON, and because Terraform's time for one long string of them grows
   * with the square of their number.
   */
  readonly contents: Readonly<Record<string, readonly string[]>>;
  /** The bundle, line by line; an object names the key of a content. */
  readonly lines: readonly (string | { readonly content: string })[];
  /** Begins every section's line, and ends the whole. */
  readonly mark: string;
  /** By what is shown in a plan (a path, a secret): a hash, or the key of the content to hash. */
  readonly triggers: Readonly<Record<string, string | { readonly content: string }>>;
}

export interface BundleSettings {
  readonly machine: string;
  readonly service: string;
  /** Private address of the machine. */
  readonly address: string;
  /** Who manages the machine. */
  readonly owner: string;
  /** Wait on the active node until the others have the change. */
  readonly defer?: boolean;
}

const PLACEHOLDER = /@@HA:([a-z]+):([^@]*)@@/;

export function makeBundle(path: string, settings: BundleSettings, service: ServiceDescription): Bundle {
  const files = allFiles(settings.service, service).map((file) => checkFile(path, file, service));
  checkWords(path, settings.service, service);
  const controls = controlTexts(service, files);
  const texts = new Map<string, string>([
    ...controls,
    ...files.map((file): [string, string] => [file.path, file.text]),
  ]);
  for (const [key, text] of texts) checkText(path, key, text);
  const digest = createHash("sha256");
  for (const [key, text] of texts) digest.update(`${key}\n${withoutTokens(text)}\n`);
  const mark = `#:${digest.digest("hex").slice(0, 24)}:`;
  const contents: Record<string, readonly string[]> = {};
  const lines: (string | { content: string })[] = [];
  const triggers: Record<string, string | { content: string }> = {};
  const add = (section: string, key: string, text: string): void => {
    const encoded = needsEncoding(text);
    lines.push(`${mark} ${section}${section.startsWith("file") ? (encoded ? " base64" : " text") : ""}`);
    contents[key] = encoded ? [Buffer.from(text).toString("base64")] : text.split("\n").map(escapeTemplate);
    lines.push({ content: key });
    triggers[key] = hasToken(text) ? { content: key } : sha256(text);
  };
  for (const [key, text] of controls) add(key === "settings" ? "settings" : `control ${key}`, key, text);
  files.forEach((file, index) => add(`file ${index}`, file.path, file.text));
  // Not part of what triggers a push: who waits for whom may change without any machine having to do anything.
  const where = Object.entries({ ...settings, defer: settings.defer ? "yes" : "no" });
  lines.splice(2, 0, ...where.map(([name, value]) => escapeTemplate(`${name}=${value}`)));
  lines.push(`${mark} end`);
  for (const secret of service.secrets ?? []) triggers[`secret ${secret.name}`] = secret.trigger;
  return { contents, lines, mark, triggers };
}

/** The service's own files, and those that its settings stand for. */
function allFiles(name: string, { files, sysctls }: ServiceDescription): ServiceFile[] {
  if (!sysctls || !Object.keys(sysctls).length) return [...files];
  // in the order given: one may only be right after another one
  const lines = Object.entries(sysctls).map(([key, value]) => `${key} = ${value}\n`);
  return [
    ...files,
    { path: `/etc/sysctl.d/60-cdktf-ha-${name}.conf`, text: lines.join(""), onChange: "none" },
  ];
}

function controlTexts(
  service: ServiceDescription,
  files: readonly Required<ServiceFile>[],
): [string, string][] {
  const table = (rows: readonly (readonly string[])[]): string =>
    rows.map((row) => row.join("\t") + "\n").join("");
  const manifest = [
    ...files.map(({ text, mode, owner, group, onChange, path }, index) => [
      PLACEHOLDER.test(text) ? "filled" : "file",
      String(index),
      mode,
      owner,
      group,
      onChange,
      path,
    ]),
    ...(service.absent ?? []).map((path) => ["absent", "-", "-", "-", "-", "reload", path]),
  ];
  const settings = [
    ...(service.units ?? []).map((unit) => `unit=${unit}`),
    ...(service.bootUnits ?? []).map((unit) => `boot-unit=${unit}`),
    `checker=${service.checker ?? "its checker"}`,
    `healthy-within=${service.healthyWithin ?? 30}`,
    `on-package-change=${service.onPackageChange ?? "restart"}`,
    ...(service.confirmWithin ? ["confirm=yes", `confirm-within=${service.confirmWithin}`] : []),
    ...(service.services ? [`services=${service.services.join(" ")}`] : []),
  ];
  const packages = [
    ...(service.packages ?? []),
    ...(service.secrets ?? []).flatMap((secret) => secret.packages),
  ];
  const controls: [string, string][] = [
    ["settings", settings.join("\n")],
    ["manifest", table(manifest)],
    [
      "packages",
      table(packages.map(({ name, version, unlessCommand }) => [name, version ?? "", unlessCommand ?? ""])),
    ],
    [
      "users",
      table(
        (service.users ?? []).map(({ name, home, groups }) => [name, home ?? "", (groups ?? []).join(",")]),
      ),
    ],
    [
      "directories",
      table(
        (service.directories ?? []).map(({ path, mode = "0755", owner = "root", group = "root" }) => [
          mode,
          owner,
          group,
          path,
        ]),
      ),
    ],
    [
      "secrets",
      table((service.secrets ?? []).map(({ name, source }) => [name, source.kind, ...source.arguments])),
    ],
    ...Object.entries(service.hooks ?? {}).map(([name, text]): [string, string] => [
      name,
      (text as string | undefined) ?? "",
    ]),
  ];
  return controls.filter(([, text]) => text);
}

function checkFile(path: string, file: ServiceFile, service: ServiceDescription): Required<ServiceFile> {
  if (!PLAIN_PATH.test(file.path) || !PATH.test(file.path)) {
    refuse(path, {
      code: "bad-path",
      what: `file '${file.path}'`,
      allowed: "an absolute path of letters, digits and @%+=:,._-, without . and ..",
      fix: "choose such a path",
    });
  }
  let holdsSecret = false;
  for (const [, kind, name] of file.text.matchAll(new RegExp(PLACEHOLDER, "g"))) {
    if (kind === "fact") continue;
    holdsSecret = true;
    if (!service.secrets?.some((secret) => secret.name === name)) {
      refuse(path, {
        code: "unknown-secret",
        what: `${file.path} names the secret '${name}'`,
        allowed:
          (service.secrets ?? []).map((secret) => secret.name).join(", ") ||
          "none: the service has no secrets",
        fix: "put the Secret into the service's 'secrets'",
      });
    }
  }
  const { mode = holdsSecret ? "0640" : "0644" } = file;
  if (!/^[0-7]{4}$/.test(mode) || (holdsSecret && /[1-7]$/.test(mode))) {
    refuse(path, {
      code: "bad-path",
      what: `${file.path} with mode '${mode}'`,
      allowed: holdsSecret
        ? "four octal digits, the last one 0: the file holds a secret"
        : "four octal digits",
      fix: holdsSecret ? "0640 with the daemon's group, or 0600" : "write it like 0644",
    });
  }
  return { owner: "root", group: "root", onChange: "reload", ...file, mode };
}

/** What becomes a column or a word of the bundle's lists, which the machine's shell reads. */
function checkWords(path: string, name: string, service: ServiceDescription): void {
  const check = (what: string, word: string | undefined, form: RegExp, allowed: string): void => {
    if (word === undefined || form.test(word)) return;
    refuse(path, { code: "bad-name", what: `${what} '${word}'`, allowed, fix: "check where it comes from" });
  };
  const line = /^\P{Cc}*$/u;
  const oneLine = "one line, without tabs and other control characters";
  check(
    "service",
    name,
    /^[a-z0-9][a-z0-9._-]{0,60}$/i,
    "letters, digits, dot, dash and underscore, at most 61",
  );
  for (const unit of [...(service.units ?? []), ...(service.bootUnits ?? [])])
    check("unit", unit, /^[\w@:.\\-]+\.[a-z]+$/, "a unit's whole name: nginx.service");
  for (const { name, version, unlessCommand } of service.packages ?? []) {
    check("package", name, /^[a-z0-9][a-z0-9.+:-]*$/, "a name of Debian's");
    check("version", version, /^[\w.+~:*?[\]-]+$/, "a version of Debian's, or a pattern: 2.6.*");
    check("command", unlessCommand, /^[\w./+-]+$/, "a program's name or path");
  }
  for (const { name, home, groups = [] } of service.users ?? []) {
    for (const word of [name, ...groups]) check("user or group", word, USER, "a name that useradd takes");
    check("home", home, PATH, "an absolute path");
  }
  for (const { path: directory, mode, owner, group } of service.directories ?? []) {
    check("directory", directory, PATH, "an absolute path without . and ..");
    check("mode", mode, /^[0-7]{4}$/, "four octal digits");
    for (const word of [owner, group]) check("owner", word, USER, "a name that useradd takes");
  }
  for (const { owner, group } of service.files)
    for (const word of [owner, group]) check("owner", word, USER, "a name that useradd takes");
  for (const absent of service.absent ?? []) check("path", absent, PATH, "an absolute path without . and ..");
  for (const [key, value] of Object.entries(service.sysctls ?? {})) {
    check("kernel setting", key, /^[\w./-]+$/, "a name that sysctl lists");
    check(`value of ${key}`, String(value), line, oneLine);
  }
  check("checker", service.checker, line, oneLine);
  checkSeconds(path, "healthyWithin", service.healthyWithin);
  checkSeconds(path, "confirmWithin", service.confirmWithin);
  const paths = service.files.map((file) => file.path);
  for (const twice of (service.absent ?? []).filter((absent) => paths.includes(absent))) {
    refuse(path, {
      code: "duplicate-file",
      what: `${twice} is a file and must not be there`,
      allowed: "one of both",
      fix: "take it out of 'files' or of 'absent'",
    });
  }
}

const USER = /^[a-z_][a-z0-9_-]{0,31}$/i;
const PATH = /^(?!.*\/\.\.?(\/|$))(\/[A-Za-z0-9@%+=:,._-]+)+\/?$/;
/** An absolute path that means the same to a shell, a list and a unit file. */
export const PLAIN_PATH = /^(\/[A-Za-z0-9@%+=:,._-]+)+$/;

function checkText(path: string, key: string, text: string): void {
  const wrong = text.includes("\0")
    ? "a NUL character"
    : !text.isWellFormed()
      ? "half a surrogate pair"
      : undefined;
  if (wrong) {
    refuse(path, {
      code: "bad-text",
      what: `${key} holds ${wrong}`,
      allowed: "any text that is valid Unicode, without NUL, which no shell and no Terraform string can hold",
      fix: "binary files belong into a package, an image or an artifact",
    });
  }
}

/**
 * Terraform normalizes its strings (NFC), and is slow with very many lines: a text that this would change or delay travels
 * as base64. Values of Terraform's can stand only in plain text.
 */
function needsEncoding(text: string): boolean {
  return (text.normalize("NFC") !== text || text.length > 250_000) && !hasToken(text);
}

function sha256(text: string): string {
  return createHash("sha256").update(text).digest("hex");
}
