import type { Construct } from "constructs";
import type { Connectable, Connections } from "../firewall/connections";
import type { Peer } from "../firewall/peer";
import { HealthCheck } from "../haproxy-keepalived-pair/health-check";
import type { Balanceable, BalanceTarget } from "../haproxy-keepalived-pair/servers";
import type { Machine } from "../platform/machine";
import { POOLER_PORT } from "./pooler";

/**
 * The poolers of a replica set: each of them leads to the member that leads, so whichever one a client is at, it stays there when
 * another member leads.
 */
export class PooledEndpoint implements Balanceable, Connectable {
  constructor(
    private readonly set: Construct & {
      readonly machines: readonly Machine[];
      readonly connections: Connections;
    },
  ) {}

  get connections(): Connections {
    return this.set.connections;
  }

  /** Lets clients in that connect to a pooler by themselves. */
  allowFrom(...clients: readonly (Connectable | Peer)[]): void {
    for (const client of clients) this.set.connections.allowFrom(client, "pooler");
  }

  balanceTarget(port = POOLER_PORT): BalanceTarget {
    return {
      servers: this.set.machines.map(({ name, privateAddress }) => ({ name, address: privateAddress, port })),
      connections: this.set.connections,
      mode: "tcp",
      // who leads is no pooler's property: a switchover takes none of them out
      check: HealthCheck.pgbouncer(),
    };
  }
}
