import type { IConstruct } from "constructs";
import { checkPort } from "../firewall/port";
import { isIp } from "../net";
import { isToken, refuse } from "../problem";

/** Takes lines of the access log as they are written, in Squid's own format. */
export interface LogCollectorProps {
  /** IPv4 or IPv6 address: Squid looks a name up only once. */
  readonly address: string;
  readonly port: number;
  /**
   * A datagram for some ten lines, when it is full; or a connection, by which each line goes at once.
   * @default "udp" - nothing waits for the collector
   */
  readonly protocol?: "udp" | "tcp";
}

export type LogCollector = Required<LogCollectorProps>;

export function collectorOf(scope: IConstruct, props: LogCollectorProps): LogCollector {
  const { address, port, protocol = "udp" } = props;
  if (!isToken(address) && !isIp(address)) {
    refuse(scope, {
      code: "bad-address",
      what: `'logCollector.address' is '${address}'`,
      allowed: "an IPv4 or IPv6 address",
      fix: "the address of the machine that collects",
    });
  }
  checkPort(scope, "logCollector.port", port);
  return { address, port, protocol };
}
