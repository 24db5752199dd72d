import { checkCount, refuse } from "../problem";

/** Seconds by which Patroni lives. */
export interface TimerProps {
  /** How long a primary may lead that nobody hears of. */
  readonly ttl: number;
  /** Between two looks at the world. */
  readonly loopWait: number;
  /** How long etcd or PostgreSQL may not answer before the primary gives up. */
  readonly retryTimeout: number;
  /** How long a crashed primary may take to recover before another one takes over. */
  readonly primaryStartTimeout: number;
}

/** How soon another member takes over, against how long a network may be silent without that. */
export class Timers {
  /** Another primary within 28 s: for a network that is not silent for 5 s. The shortest that Patroni takes. */
  static fast(): Timers {
    return new Timers({ ttl: 20, loopWait: 5, retryTimeout: 5, primaryStartTimeout: 15 });
  }

  /** Patroni's own values: another primary within 38 s. */
  static normal(): Timers {
    return new Timers({ ttl: 30, loopWait: 10, retryTimeout: 10, primaryStartTimeout: 60 });
  }

  /** For networks and disks that pause: a silence of 25 s changes nothing. */
  static patient(): Timers {
    return new Timers({ ttl: 60, loopWait: 10, retryTimeout: 25, primaryStartTimeout: 300 });
  }

  /** Values of your own, within Patroni's rule: loopWait + 2 * retryTimeout <= ttl. */
  static of(props: TimerProps): Timers {
    return new Timers(props);
  }

  private constructor(readonly props: TimerProps) {
    const { ttl, loopWait, retryTimeout, primaryStartTimeout } = props;
    checkCount("Timers", "ttl", ttl, 20, 3600, "seconds; 20 is Patroni's own least");
    checkCount("Timers", "loopWait", loopWait, 1, 600, "seconds");
    checkCount("Timers", "retryTimeout", retryTimeout, 3, 1200, "seconds; 3 is Patroni's own least");
    checkCount("Timers", "primaryStartTimeout", primaryStartTimeout, 0, 86_400, "seconds");
    if (loopWait + 2 * retryTimeout <= ttl) return;
    refuse("Timers", {
      code: "timers-break-rule",
      what: `loopWait ${loopWait} + 2 * retryTimeout ${retryTimeout} = ${loopWait + 2 * retryTimeout} is more than ttl ${ttl}`,
      allowed:
        "loopWait + 2 * retryTimeout <= ttl: else a primary may lose its lock while it still tries to renew it, and etcd is well",
      fix: `ttl: ${Math.max(20, loopWait + 2 * retryTimeout)}`,
    });
  }

  /**
   * A member that has lost its power says no goodbye: until PostgreSQL has given its connection up, commits wait for it, and it
   * gets no new one when it is back. PostgreSQL's own 60 s would be three times the time of a failover.
   */
  parameters(): { readonly wal_sender_timeout: string; readonly wal_receiver_timeout: string } {
    const silence = `${2 * this.props.retryTimeout}s`;
    return { wal_sender_timeout: silence, wal_receiver_timeout: silence };
  }

  /** Seconds from a primary's death to the first write at another one, at worst and on average. */
  failover(): { readonly worst: number; readonly mean: number; readonly because: string } {
    const { ttl, loopWait } = this.props;
    return {
      worst: ttl + PROMOTE + BALANCER,
      mean: ttl - loopWait / 2 + PROMOTE / 2 + BALANCER / 2,
      because:
        `the lock ends ${ttl - loopWait} to ${ttl} s after the primary's last word (ttl ${ttl}, renewed every ${loopWait} s), ` +
        `a promotion takes up to ${PROMOTE} s (2 of them for asking the dead one), a load balancer that asks every second up to ${BALANCER} s`,
    };
  }
}

/** The members ask each other once more who knows most (the dead one does not answer for 2 s), then PostgreSQL promotes. */
const PROMOTE = 5;
/** Two good answers, a second apart, and the way there. */
const BALANCER = 3;
