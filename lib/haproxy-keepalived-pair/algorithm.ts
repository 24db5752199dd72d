import { checkToken, quoted } from "./health-check";

/** Which server gets the next request or connection. */
export class Algorithm {
  /** In turn, by weight. The default: with many users it does as well as anything cleverer. */
  static roundRobin(): Algorithm {
    return new Algorithm("roundrobin");
  }

  /** Whoever has the fewest connections: for long sessions (databases, websockets). */
  static leastConnections(): Algorithm {
    return new Algorithm("leastconn");
  }

  /** Of two servers drawn at random the less loaded one: for several load balancers that do not know of each other. */
  static random(): Algorithm {
    return new Algorithm("random(2)");
  }

  /** The first server that has a free place: fills one after the other, so the last ones can be switched off. */
  static first(): Algorithm {
    return new Algorithm("first");
  }

  /** By the client's address: one client, one server, as long as servers do not change. */
  static sourceAddress(): Algorithm {
    return new Algorithm("source", true);
  }

  /** By the request's path: each cache holds its own share. HTTP only. */
  static uri(): Algorithm {
    return new Algorithm("uri", true, true);
  }

  /** By a header's value. HTTP only. */
  static header(name: string): Algorithm {
    checkToken("Algorithm.header", "header", name);
    return new Algorithm(`hdr(${quoted(name)})`, true, true);
  }

  private constructor(
    readonly balance: string,
    /** By consistent hashing: a server that comes or goes moves only its own share. */
    readonly hashed = false,
    readonly httpOnly = false,
  ) {}
}

/**
 * How a client comes back to the server that knows it. Changes of the code leave it there while its server stays, drained or
 * not. Whose server is dead, in maintenance or about to be changed gets another one, and then stays with that one: what only
 * the first one knew of it is lost. Until a dead server is noticed, its clients wait: for the check, or for three seconds.
 */
export class Stickiness {
  /**
   * A cookie of the load balancer's own with the server's name. HTTP only. Every node knows it, so it survives a failover.
   * @param name default `SRV`
   */
  static cookie(name = "SRV"): Stickiness {
    return new Stickiness({ cookie: name });
  }

  /**
   * A table of client addresses, shared between the nodes: it survives reloads and failovers. Works for TCP as well.
   * @param props.minutes a client is forgotten after, 30 by default; props.entries most clients, 100,000 by default (about 10 MB)
   */
  static sourceAddress(props: { readonly minutes?: number; readonly entries?: number } = {}): Stickiness {
    return new Stickiness({ table: { minutes: props.minutes ?? 30, entries: props.entries ?? 100_000 } });
  }

  private constructor(
    readonly model: {
      readonly cookie?: string;
      readonly table?: { readonly minutes: number; readonly entries: number };
    },
  ) {}
}
