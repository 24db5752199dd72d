import type { IConstruct } from "constructs";
import { isHostName } from "../net";
import { refuse, refuseToken } from "../problem";

/** Refuses what is no host name, with or without the dot in front that means everything below it. */
export function checkSite(scope: IConstruct, site: string): void {
  refuseToken(scope, "sites", site);
  const name = site.replace(/^\./, "");
  if (isHostName(name) && name.includes(".")) return;
  refuse(scope, {
    code: "bad-name",
    what: `host '${site}'`,
    allowed: "a whole host name, or a domain with a dot in front: www.example.net, .example.net",
    fix: "without a scheme, a port or a path; a star is written as the dot",
  });
}

/** Is it, or with a dot in front all below it, one of these? */
export function isCovered(name: string, sites: readonly string[]): boolean {
  const [bare, dotted] = [name.toLowerCase(), `.${name.toLowerCase().replace(/^\./, "")}`];
  return sites
    .map((site) => site.toLowerCase())
    .some((site) => site === bare || (site.startsWith(".") && dotted.endsWith(site)));
}
