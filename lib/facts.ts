import { shellQuoted } from "./script-text";

/** Files that the node's own shell programs read: one assignment a line. Pure. */
export function renderFacts(
  title: string,
  facts: Readonly<Record<string, string | number | readonly string[]>>,
): string {
  return [
    `# Managed by cdktf-ha-clusters: ${title}.`,
    ...Object.entries(facts).map(([name, value]) =>
      Array.isArray(value)
        ? `${name}=(${value.map((item: string) => shellQuoted(item)).join(" ")})`
        : `${name}=${shellQuoted(String(value))}`,
    ),
    "",
  ].join("\n");
}
