import { refuse } from "../problem";

export type Protocol = "tcp" | "udp" | "vrrp";

/** What a service listens on. */
export class Port {
  static tcp(port: number): Port {
    return new Port("tcp", port, port);
  }

  static tcpRange(first: number, last: number): Port {
    return new Port("tcp", first, last);
  }

  static udp(port: number): Port {
    return new Port("udp", port, port);
  }

  static udpRange(first: number, last: number): Port {
    return new Port("udp", first, last);
  }

  /** IP protocol 112, which keepalived speaks; it has no ports. */
  static vrrp(): Port {
    return new Port("vrrp", 0, 0);
  }

  private constructor(
    readonly protocol: Protocol,
    /** First port; 0 for a protocol without ports. */
    readonly first: number,
    /** Last port, equal to the first for a single one. */
    readonly last: number,
  ) {
    if (protocol === "vrrp") return;
    const valid = (port: number): boolean => Number.isInteger(port) && port >= 1 && port <= 65535;
    if (!valid(first) || !valid(last) || first > last) {
      refuse("Port", {
        code: "port-out-of-range",
        what: `${protocol} port ${first === last ? first : `${first} to ${last}`}`,
        allowed: "whole numbers from 1 to 65535, the first not above the last",
        fix: "check where the number comes from",
      });
    }
  }

  toString(): string {
    if (this.protocol === "vrrp") return "vrrp";
    return `${this.protocol}/${this.first}${this.last === this.first ? "" : `-${this.last}`}`;
  }
}
