import type { Construct } from "constructs";
import { isReservedAtAws } from "../../net";
import { refuse } from "../../problem";

/** Refuses an IPv4 address that AWS gives to nobody. */
export function refuseReserved(scope: Construct, name: string, address: string, subnet: string): void {
  if (!isReservedAtAws(subnet, address)) return;
  refuse(scope, {
    code: "bad-address",
    what: `${name} is ${address}, which AWS keeps for itself in ${subnet}`,
    allowed: "any other address of the subnet than its first four and its last",
    fix: "choose a free one between",
  });
}
