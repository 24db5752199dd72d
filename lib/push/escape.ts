/**
 * Terraform takes every string of its JSON for a template: `${` and `%{` begin an expression. Config files are full of
 * both (HAProxy's `%{+Q}o`, Squid's `%{Referer}>h`), and cdktf escapes neither. Pure.
 */

/** How cdktf writes a value into a string that is only known when Terraform runs. */
const TOKEN = /\$\{TfToken\[[^\]]+\]\}/;

/** The text, to the byte, after Terraform has read it as a template; values that cdktf put in stay values. */
export function escapeTemplate(text: string): string {
  let escaped = "";
  let rest = text;
  for (;;) {
    const token = TOKEN.exec(rest);
    if (!token) return escaped + escapeLiteral(rest);
    const literal = escapeLiteral(rest.slice(0, token.index));
    // A dollar right before an expression would turn it into an escape: `$${`.
    escaped += literal.replace(/\$+$/, (dollars) => `\${"${dollars}"}`) + token[0];
    rest = rest.slice(token.index + token[0].length);
  }
}

export function hasToken(text: string): boolean {
  return TOKEN.test(text);
}

/** The way back, for tests and pictures: what the machine will get, with expressions where Terraform puts values in. */
export function unescapeTemplate(text: string): string {
  return text.replace(
    /\$\{"((?:\$|%)+)"\}|(\$\$|%%)\{/g,
    (_, run: string | undefined, doubled: string | undefined) => run ?? `${doubled![0]}{`,
  );
}

function escapeLiteral(text: string): string {
  // One marker is doubled, as everybody writes it. A run of markers (`$${`, `%%%{`) has no spelling of that kind that
  // means the same in every version: there the markers go into an expression of their own, `${"$$"}{`.
  return text.replace(/(\$+|%+)\{/g, (_, markers: string) =>
    markers.length === 1 ? `${markers}${markers}{` : `\${"${markers}"}{`,
  );
}
