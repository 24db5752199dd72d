import type { Peer } from "../firewall/peer";
import type { Port } from "../firewall/port";
import type { Rule } from "../firewall/rule-set";

/** Where machines may connect to, beyond the connections that constructs declare among themselves. */
export class Outgoing {
  /** Everywhere: packages, DNS, time, cloud APIs just work. */
  static anywhere(): Outgoing {
    return new Outgoing(undefined);
  }

  /** Only there. Name servers, time servers, package mirrors and cloud APIs have to be in the list. */
  static only(
    ...allowed: readonly { readonly to: Peer; readonly ports: readonly Port[]; readonly purpose: string }[]
  ): Outgoing {
    return new Outgoing(
      allowed.flatMap(({ to, ports, purpose }) =>
        to.cidrs.flatMap((network) =>
          ports.map(({ protocol, first, last }) => ({ protocol, first, last, network, purpose })),
        ),
      ),
    );
  }

  private constructor(readonly rules: readonly Rule[] | undefined) {}
}

export function outgoingRules(outgoing: Outgoing | undefined): readonly Rule[] | undefined {
  return outgoing?.rules;
}
