/**
 * Terraform takes every string of its JSON for a template: `${` and `%{` begin an expression. Config files are full of
 * both (HAProxy's `%{+Q}o`, Squid's `%{Referer}>h`), and cdktf escapes neither. Pure.
 */

/** How cdktf writes a value into a string that is only known when Terraform runs. */
const TOKEN = /\$\{TfToken\[[A-Za-z0-9:._-]+\]\}/;

/**
 * The text, to the byte, after Terraform has read it as a template; values that cdktf put in stay values. For one line, or
 * for a text that is used as a whole.
 */
export function escapeTemplate(text: string): string {
  if (!hasToken(text)) return text.replace(/([$%]+)\{/g, (_, markers: string) => escapeMarkers(markers));
  let escaped = "";
  let rest = text;
  for (let token = TOKEN.exec(rest); token; token = TOKEN.exec(rest)) {
    const literal = escapeClosed(rest.slice(0, token.index));
    // A dollar right before an expression would turn it into an escape: `$${`.
    escaped += literal.replace(/\$+$/, expression) + token[0];
    rest = rest.slice(token.index + token[0].length);
  }
  return escaped + escapeClosed(rest);
}

/** One marker is doubled, as everybody writes it; a run of them has no spelling of that kind. */
function escapeMarkers(markers: string): string {
  return markers.length === 1 ? `${markers}${markers}{` : `${expression(markers)}{`;
}

/** Beside a value every `${` must be closed, or cdktf takes the value for a part of that expression. */
function escapeClosed(literal: string): string {
  return literal.replace(/([$%]+)\{/g, (_, markers: string) => `${expression(markers)}{`);
}

function expression(markers: string): string {
  return `\${"${markers}"}`;
}

export function hasToken(text: string): boolean {
  return TOKEN.test(text);
}

/** The text with its values left out: how cdktf numbers them depends on everything else in the program. */
export function withoutTokens(text: string): string {
  return text.replace(new RegExp(TOKEN, "g"), "");
}

/** The way back, for tests and pictures: what the machine will get, with expressions where Terraform puts values in. */
export function unescapeTemplate(text: string): string {
  return text.replace(
    /\$\{"((?:\$|%)+)"\}|(\$\$|%%)\{/g,
    (_, run: string | undefined, doubled: string | undefined) => run ?? `${doubled![0]}{`,
  );
}
