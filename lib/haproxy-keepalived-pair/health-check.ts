import type { IConstruct } from "constructs";
import { checkPort } from "../firewall/port";
import { refuse } from "../problem";

/** A check in HAProxy's own terms. Pure data. */
export interface HealthCheckModel {
  /** Lines of the backend section. */
  readonly lines: readonly string[];
  /** Port that is asked, where it is not the server's own. */
  readonly port?: number;
  /** What the check reads: only a backend of the same mode may use it. */
  readonly kind: "tcp" | "http" | "postgresql";
  /** The check goes by TLS, and wants a certificate of one of these authorities, PEM. */
  readonly trusted?: string;
}

export interface PatroniCheckProps {
  /** @default 8008 */
  readonly port?: number;
  /** Authorities, PEM: Patroni is asked by TLS, and shows a certificate of one of them. @default - asked plainly */
  readonly trusted?: string;
}

export interface HttpCheckProps {
  /** @default "GET" */
  readonly method?: "GET" | "HEAD" | "OPTIONS";
  /** Value of the Host header. @default - none: HTTP/1.0 without a host */
  readonly host?: string;
  /** Status codes that mean healthy: `200`, `200-399`, `200,204`. @default "200-399" */
  readonly status?: string;
  /** A text that the answer's body must hold. @default - the body is not read */
  readonly contains?: string;
  /** @default - the server's own port */
  readonly port?: number;
}

/** How HAProxy finds out whether a server can serve. */
export class HealthCheck {
  /** A connection is accepted. */
  static tcp(): HealthCheck {
    return new HealthCheck({ kind: "tcp", lines: ["option tcp-check"] });
  }

  /** A path answers with a good status. */
  static http(path: string, props: HttpCheckProps = {}): HealthCheck {
    const { method = "GET", host, status = "200-399", contains, port } = props;
    checkPort("HealthCheck.http", "port", port);
    const refuseCheck = (what: string, allowed: string): never =>
      refuse("HealthCheck.http", { code: "bad-check", what, allowed, fix: "correct it" });
    if (!/^\/[\x21-\x7e]*$/.test(path)) refuseCheck(`path '${path}'`, "a path from / on, percent-encoded");
    if (!/^\d{3}(-\d{3})?(,\d{3}(-\d{3})?)*$/.test(status)) {
      refuseCheck(`status '${status}'`, "codes and ranges: 200, 200-399, 200,204");
    }
    return new HealthCheck({
      kind: "http",
      port,
      lines: [
        "option httpchk",
        `http-check send meth ${method} uri ${quoted(path)}${host === undefined ? "" : ` ver HTTP/1.1 hdr Host ${quoted(host)}`}`,
        `http-check expect status ${status}`,
        ...(contains === undefined ? [] : [`http-check expect string ${quoted(contains)}`]),
      ],
    });
  }

  /**
   * PostgreSQL answers a start-up packet: any server, primary or replica. It need not know the user, which has no password
   * and never logs in; but its pg_hba.conf must let this user in from the load balancers' addresses, by whatever method.
   */
  static postgresql(props: { readonly user?: string } = {}): HealthCheck {
    return new HealthCheck({
      kind: "postgresql",
      lines: [`option pgsql-check user ${quoted(props.user ?? "haproxy_check")}`],
    });
  }

  /** Patroni says this server is the primary. */
  static patroniPrimary(props: PatroniCheckProps = {}): HealthCheck {
    return this.patroni("/primary", props);
  }

  /**
   * Patroni says this server is a replica that may be read from.
   * @param props.maximumLag bytes, or with a unit (`10MB`), behind the primary; default 10MB, a few seconds of a busy primary
   */
  static patroniReplica(props: PatroniCheckProps & { readonly maximumLag?: string } = {}): HealthCheck {
    const { maximumLag = "10MB" } = props;
    if (!/^\d+([kMG]?B)?$/.test(maximumLag)) {
      refuse("HealthCheck.patroniReplica", {
        code: "bad-check",
        what: `maximumLag '${maximumLag}'`,
        allowed: "bytes, or a number with kB, MB or GB",
        fix: "write it like 10MB",
      });
    }
    return this.patroni(`/replica?lag=${maximumLag}`, props);
  }

  /** Patroni says this server is a replica that has every commit: of a set whose commits wait for it. */
  static patroniSynchronous(props: PatroniCheckProps = {}): HealthCheck {
    return this.patroni("/sync", props);
  }

  /** PgBouncer answers a client's first question, whether it speaks TLS: it is alive, and its clients are let in. */
  static pgbouncer(): HealthCheck {
    return new HealthCheck({
      kind: "postgresql",
      lines: [
        "option tcp-check",
        "tcp-check connect",
        "tcp-check send-binary 0000000804d2162f",
        "tcp-check expect rstring ^[SN]",
      ],
    });
  }

  private static patroni(path: string, { port = 8008, trusted }: PatroniCheckProps): HealthCheck {
    return new HealthCheck({
      kind: "postgresql",
      port,
      trusted,
      lines: [
        "option httpchk",
        `http-check send meth OPTIONS uri ${quoted(path)}`,
        "http-check expect status 200",
      ],
    });
  }

  private constructor(readonly model: HealthCheckModel) {}
}

/** A word of HAProxy's configuration, whatever is in it. Inside single quotes nothing is special; a quote ends them. */
export function quoted(text: string): string {
  if (/\p{Cc}/u.test(text)) {
    refuse("haproxy.cfg", {
      code: "bad-text",
      what: JSON.stringify(text),
      allowed: "a text without newlines and other control characters: it is one word of haproxy.cfg",
      fix: "write it in one line",
    });
  }
  if (/^[A-Za-z0-9_./:@?=&,+-]+$/.test(text)) return text;
  return `'${text.replace(/'/g, "'\\''")}'`;
}

/** A token of HTTP (RFC 9110): what names of headers and cookies are made of. */
export function checkToken(scope: IConstruct | string, what: string, name: string): void {
  if (/^[\w!#$%&'*+.^`|~-]+$/.test(name)) return;
  refuse(scope, {
    code: "bad-name",
    what: `${what} '${name}'`,
    allowed: "letters, digits and the marks that HTTP takes in a name",
    fix: "check the spelling",
  });
}
