import type { Construct } from "constructs";
import type { Connectable, Connections } from "../firewall/connections";
import type { Peer } from "../firewall/peer";
import type { HealthCheck } from "../haproxy-keepalived-pair/health-check";
import type { Balanceable, BalanceTarget } from "../haproxy-keepalived-pair/servers";
import { bracketed } from "../net";
import type { Machine } from "../platform/machine";
import { isToken, refuse } from "../problem";
import { databasesByRole, type DatabasesAndRoles } from "./databases";
import { POSTGRES_PORT, type Synchronous } from "./patroni-yml";

/** One of the parts that a member of a replica set may play: for load balancers, and for clients that find it themselves. */
export class PostgresEndpoint implements Balanceable, Connectable {
  constructor(
    private readonly set: Construct & {
      readonly machines: readonly Machine[];
      readonly connections: Connections;
      readonly tls?: { readonly client: "optional" | "required" };
      readonly synchronous: Synchronous;
      credentials(role: string): object;
      role(name: string): { readonly noLoadBalance: boolean };
      readonly props: DatabasesAndRoles;
    },
    private readonly check: HealthCheck,
    /** libpq's own word for the part: `target_session_attrs`; it has none for the replica that has every commit. */
    readonly targetSessionAttributes?: "primary" | "prefer-standby",
  ) {}

  get connections(): Connections {
    return this.set.connections;
  }

  /** Lets clients in that connect to the members by themselves. */
  allowFrom(...clients: readonly (Connectable | Peer)[]): void {
    for (const client of clients) this.set.connections.allowFrom(client, "postgres");
  }

  /**
   * A connection string of libpq's that names every member (the one of `replicas`: but those with `noLoadBalance` or
   * `applyDelay`): the client finds the one that plays the part. With TLS it wants
   * to see a certificate for the address; libpq looks for whom it trusts in `~/.postgresql/root.crt`, unless it is told where.
   * @throws for `synchronousReplica`: which replica has every commit only a load balancer's check tells
   */
  connectionString(database: string, role: string): string {
    if (this.targetSessionAttributes === undefined) {
      refuse(this.set, {
        code: "only-by-balancer",
        what: "a connection string for the replica that has every commit",
        allowed: "'primary' and 'replicas': libpq asks a server whether it may be written to, and no more",
        fix: "balance it, and connect to the load balancer; or read from the primary",
      });
    }
    this.checkAccess(database, role);
    const hosts = (this.targetSessionAttributes === "primary" ? this.set.machines : this.readers()).map(
      ({ privateAddress }) => `${bracketed(privateAddress)}:${POSTGRES_PORT}`,
    );
    const list = hosts.join(",");
    return `postgresql://${role}@${list}/${database}?target_session_attrs=${this.targetSessionAttributes}&connect_timeout=3${this.set.tls ? "&sslmode=verify-full" : ""}`;
  }

  balanceTarget(port = POSTGRES_PORT): BalanceTarget {
    if (this.targetSessionAttributes === undefined && this.set.synchronous === "off") {
      refuse(this.set, {
        code: "conflicting-setting",
        what: "the replica that has every commit is balanced, and 'synchronous' is \"off\"",
        allowed:
          'it where commits wait for a replica: "on" or "strict"; else there is none, and nobody would answer',
        fix: "synchronous: \"on\" with three members; or balance 'replicas', which may be a moment behind",
      });
    }
    if (this.targetSessionAttributes !== "primary") this.readers();
    return {
      // all of them: what a member is for may change, and its check says what it is now
      servers: this.set.machines.map(({ name, privateAddress }) => ({ name, address: privateAddress, port })),
      connections: this.set.connections,
      mode: "tcp",
      check: this.check,
    };
  }

  /** Members that clients may be sent to while they follow. */
  private readers(): readonly Machine[] {
    const readers = this.set.machines.filter(({ name }) => !this.set.role(name).noLoadBalance);
    if (readers.length) return readers;
    return refuse(this.set, {
      code: "no-servers",
      what: "'replicas' or 'synchronousReplica' is asked for, and no member is read from",
      allowed: "two members at least without 'noLoadBalance' and 'applyDelay': one of them may lead",
      fix: "take 'noLoadBalance' off a member, or use 'primary'",
    });
  }

  /** Names of the set need no escaping; and pg_hba.conf lets nobody else in. */
  private checkAccess(database: string, role: string): void {
    if (isToken(database) || isToken(role)) return;
    this.set.credentials(role);
    const databases = databasesByRole(this.set.props)[role] ?? [];
    if (databases.includes(database)) return;
    refuse(this.set, {
      code: "unknown-database",
      what: `a connection string of '${role}' for '${database}'`,
      allowed: databases.join(", ") || `none: '${role}' owns no database and has no grants`,
      fix: "add it to the role's 'grants', or correct the name",
    });
  }
}
