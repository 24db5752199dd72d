import type { Construct } from "constructs";
import { warn } from "../problem";
import type { Machine } from "./machine";

/**
 * Warns of what asks AWS on machines that have no role there: no EC2 instances. They need credentials that somebody puts there.
 * @param instead what works on every machine
 */
export function warnWithoutRole(
  scope: Construct,
  what: string,
  machines: readonly Machine[],
  instead: string,
): void {
  const names = machines.filter(({ aws }) => !aws).map(({ name }) => name);
  if (!names.length) return;
  warn(scope, {
    code: "no-instance-role",
    what: `${what} on ${names.join(", ")}: no EC2 instance`,
    allowed:
      "instances of an AwsPlatform, which are given the right; elsewhere root's own credentials (/root/.aws)",
    fix: `${instead}; or keep credentials and a region on the machine`,
  });
}
