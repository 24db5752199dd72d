import type { Construct } from "constructs";
import { refuse } from "../problem";
import type { Machine } from "./machine";

/** For clusters that mount no volume: the data would be on the machine's own disk, and nobody would know. */
export function refuseDataVolumes(scope: Construct, machines: readonly Machine[]): void {
  for (const { name, aws } of machines) {
    if (!aws?.dataVolume) continue;
    refuse(scope, {
      code: "volume-not-mounted",
      what: `machine '${name}' has a 'dataVolume'`,
      allowed: "none: this cluster mounts no volume, and its data is on the machine's own disk",
      fix: "leave 'dataVolume' out, and give the machine a larger disk of its own",
    });
  }
}
