import { stringify } from "yaml";

/**
 * YAML for a daemon. Every text is in single quotes: a value that only Terraform or the machine knows may begin with
 * anything. A line is never folded: the placeholder of a secret stays in one piece.
 */
export function yamlText(value: object): string {
  return stringify(value, {
    defaultStringType: "QUOTE_SINGLE",
    defaultKeyType: "PLAIN",
    lineWidth: 0,
    aliasDuplicateObjects: false,
  });
}
