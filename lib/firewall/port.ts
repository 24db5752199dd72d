import type { IConstruct } from "constructs";
import { refuse, refuseToken } from "../problem";

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
    checkPort(`Port.${protocol}`, first === last ? "port" : "first", first);
    checkPort(`Port.${protocol}`, "last", last);
    if (first > last) {
      refuse(`Port.${protocol}Range`, {
        code: "port-out-of-range",
        what: `${first} to ${last}`,
        allowed: "a first port that is not above the last",
        fix: "swap them",
      });
    }
  }

  /** Is a port in both? */
  overlaps({ protocol, first, last }: Port): boolean {
    return this.protocol === protocol && this.first <= last && this.last >= first;
  }

  toString(): string {
    if (this.protocol === "vrrp") return "vrrp";
    return `${this.protocol}/${this.first}${this.last === this.first ? "" : `-${this.last}`}`;
  }
}

/** Refuses what is no port, in the name of whoever was given it. */
export function checkPort(scope: IConstruct | string, name: string, port: number | undefined): void {
  refuseToken(scope, name, port);
  if (port === undefined || (Number.isInteger(port) && port >= 1 && port <= 65535)) return;
  refuse(scope, {
    code: "port-out-of-range",
    what: `'${name}' is ${typeof port === "number" ? port : JSON.stringify(port)}`,
    allowed: "a whole number from 1 to 65535",
    fix: "write the number out; a value that only Terraform knows cannot open a firewall",
  });
}
