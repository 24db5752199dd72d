import { createHash } from "node:crypto";
import type { Connectable, Connections } from "../firewall/connections";
import { checkPort } from "../firewall/port";
import { isHostName, isIp } from "../net";
import type { Machine } from "../platform/machine";
import { isToken, refuse } from "../problem";
import type { Around } from "../push/push";
import type { HealthCheck } from "./health-check";

/** One server as a load balancer sees it. */
export interface BalanceServer {
  readonly name: string;
  readonly address: string;
  readonly port: number;
}

/** What a load balancer needs of a group of servers; a cluster that knows its own port and check says so here. */
export interface BalanceTarget {
  readonly servers: readonly BalanceServer[];
  /** Of the servers, to be let in at. @default - outside of the stack: their firewall is somebody else's */
  readonly connections?: Connections;
  readonly check?: HealthCheck;
  /** What the servers speak. @default "http" */
  readonly mode?: "http" | "tcp";
  /** Called with the commands that take a server out of the load balancer and bring it back, around its own changes. */
  readonly onDrain?: (commands: (server: string) => readonly Around[]) => void;
}

/** Anything a load balancer can send requests to. */
export interface Balanceable {
  /** @param port the servers' port, where the caller chooses it */
  balanceTarget(port?: number): BalanceTarget;
}

/** Servers that no construct of the stack stands for. */
export class Servers implements Balanceable {
  /** By name: `{ "web-1": "10.0.1.5:8080" }`. */
  static at(addresses: Readonly<Record<string, string>>): Servers {
    const servers = Object.entries(addresses).map(([name, text]) => {
      const parsed = /^(?:\[([^\]]+)\]|([^:]+)):(\d+)$/.exec(text);
      const address = parsed?.[1] ?? parsed?.[2] ?? text;
      const port = Number(parsed?.[3] ?? NaN);
      if (!isToken(text) && (!parsed || !(isIp(address) || isHostName(address)))) {
        refuse("Servers.at", {
          code: "bad-address",
          what: `server '${name}' at '${text}'`,
          allowed:
            "an address or a host name with its port: 10.0.1.5:8080, [2001:db8::5]:8080, web.example.net:8080",
          fix: parsed ? `check '${address}': it is neither` : "write the port behind a colon",
        });
      }
      checkPort("Servers.at", `port of '${name}'`, port);
      return { name, address, port };
    });
    return new Servers({ servers });
  }

  /** Machines of the stack, on one port. Their firewall lets the load balancer in. */
  static machines(machines: readonly Machine[], group: Connectable, port: number): Servers {
    return new Servers({
      servers: machines.map(({ name, privateAddress }) => ({ name, address: privateAddress, port })),
      connections: group.connections,
    });
  }

  private constructor(private readonly target: BalanceTarget) {}

  balanceTarget(port?: number): BalanceTarget {
    if (port === undefined) return this.target;
    return { ...this.target, servers: this.target.servers.map((server) => ({ ...server, port })) };
  }
}

/**
 * HAProxy numbers servers by their place in the file, and tables shared by peers and saved states name them by that
 * number: a server that joins in the middle would inherit its neighbour's clients. This number follows from the name.
 */
export function stableServerId(name: string): number {
  return 1 + (createHash("sha256").update(name).digest().readUInt32BE(0) % 0x7ffffffe);
}
