/** `node-2` before `node-10`. */
export function compareNames(a: string, b: string): number {
  const collator = new Intl.Collator("en", { numeric: true });
  return collator.compare(a, b) || (a < b ? -1 : a > b ? 1 : 0);
}
