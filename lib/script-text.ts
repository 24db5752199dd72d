import { readFileSync } from "node:fs";

const texts = new Map<string, string>();

/** A shell file that ships with the package, read once. */
export function scriptText(path: string): string {
  let text = texts.get(path);
  if (text === undefined) texts.set(path, (text = readFileSync(path, "utf8")));
  return text;
}

/** One word of the shell, whatever is in it. */
export function shellQuoted(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}
