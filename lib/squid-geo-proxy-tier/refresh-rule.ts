import { checkCount, refuse } from "../problem";
import type { SquidRefresh } from "./squid-conf";

export interface RefreshProps {
  /** Minutes for which an answer without an expiry time of its own counts as fresh. @default 0 */
  readonly minimumMinutes?: number;
  /** Share of its age, in percent, for which an answer without an expiry time stays fresh. @default 20 */
  readonly percent?: number;
  /** Minutes after which an answer without an expiry time is asked for again. @default 4320 - three days, Squid's own */
  readonly maximumMinutes?: number;
  /** Keep answers for at least `minimumMinutes`, whatever expiry time origins give. @default false */
  readonly overrideExpire?: boolean;
  /** A visitor's "reload" is answered from the cache. @default false */
  readonly ignoreReload?: boolean;
  /** Minutes past its freshness for which an answer may still be shown while origins fail. @default - the cache's `staleIfError` */
  readonly staleIfErrorMinutes?: number;
}

/** How long an answer stays fresh where the origin does not say so itself. The first rule that fits a URL holds. */
export class RefreshRule {
  /** Files by the end of their names: `RefreshRule.files(["css", "js", "png"], { minimumMinutes: 60 })`. */
  static files(extensions: readonly string[], props: RefreshProps = {}): RefreshRule {
    const wrong = extensions.find((extension) => !/^[A-Za-z0-9]{1,10}$/.test(extension));
    if (wrong !== undefined || !extensions.length) {
      refuse("RefreshRule.files", {
        code: "bad-name",
        what: wrong === undefined ? "no extension" : `extension '${wrong}'`,
        allowed: "letters and digits: what stands behind the last dot of a file's name",
        fix: "write it without the dot",
      });
    }
    return new RefreshRule(`-i \\.(${extensions.join("|")})(\\?|$)`, props);
  }

  /** A path and everything below it: `RefreshRule.path("/api/", { percent: 0, maximumMinutes: 0 })`. */
  static path(path: string, props: RefreshProps = {}): RefreshRule {
    if (!/^\/[A-Za-z0-9/_.~%-]*$/.test(path)) {
      refuse("RefreshRule.path", {
        code: "bad-path",
        what: `path '${path}'`,
        allowed: "a path from / on, percent-encoded",
        fix: "leave a query out: RefreshRule.queries() is for all of them",
      });
    }
    return new RefreshRule(`^https?://[^/]+${path.replace(/\./g, "\\.")}`, props);
  }

  /** URLs with a query, and programs below /cgi-bin/. By default they are fresh only where the origin says so. */
  static queries(props: RefreshProps = {}): RefreshRule {
    return new RefreshRule("-i (/cgi-bin/|\\?)", { percent: 0, maximumMinutes: 0, ...props });
  }

  /** All the rest. */
  static everything(props: RefreshProps = {}): RefreshRule {
    return new RefreshRule(".", props);
  }

  readonly model: SquidRefresh;

  private constructor(pattern: string, props: RefreshProps) {
    const { minimumMinutes = 0, percent = 20, maximumMinutes = 4320, staleIfErrorMinutes } = props;
    checkCount("RefreshRule", "minimumMinutes", minimumMinutes, 0, 525_600, "a year at most");
    checkCount("RefreshRule", "percent", percent, 0, 10_000, "a share of the age");
    checkCount("RefreshRule", "maximumMinutes", maximumMinutes, 0, 525_600, "a year at most");
    checkCount("RefreshRule", "staleIfErrorMinutes", staleIfErrorMinutes, 0, 525_600, "a year at most");
    if (minimumMinutes > maximumMinutes) {
      refuse("RefreshRule", {
        code: "conflicting-setting",
        what: `at least ${minimumMinutes} minutes, and at most ${maximumMinutes}`,
        allowed: "a least time that is not above the most",
        fix: "raise 'maximumMinutes'",
      });
    }
    this.model = {
      pattern,
      minimumMinutes,
      percent,
      maximumMinutes,
      options: [
        ...(props.overrideExpire ? ["override-expire"] : []),
        ...(props.ignoreReload ? ["ignore-reload"] : []),
        // in seconds, unlike the other times
        ...(staleIfErrorMinutes === undefined ? [] : [`max-stale=${60 * staleIfErrorMinutes}`]),
      ],
    };
  }
}
