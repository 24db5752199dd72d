import { Construct } from "constructs";
import { checkPort, Port } from "../firewall/port";
import type { Balanceable, BalanceTarget } from "../haproxy-keepalived-pair/servers";
import type { ServerTls } from "../haproxy-keepalived-pair/tls";
import { isIp } from "../net";
import { checkCount, isToken, refuse } from "../problem";
import { checkSite } from "./site";
import type { SquidPool } from "./squid-conf";

/** Settings of a single origin. */
export interface OriginSettings {
  /** Share of the requests beside the others' shares, 1 to 100. @default 1 */
  readonly weight?: number;
  /** Gets requests only when no other origin of the pool can. @default false */
  readonly standby?: boolean;
}

export interface OriginPoolProps {
  /** Who answers what the cache cannot. A construct of the stack lets the proxies in at its firewall. */
  readonly to: Balanceable;
  /** Port of the origins. @default - their own */
  readonly port?: number;
  /** Only requests for these host names; with a leading dot, all below it. @default - any */
  readonly hosts?: readonly string[];
  /** Only requests for these paths and what is below them. @default - any */
  readonly paths?: readonly string[];
  /**
   * Which origin gets the next request: each in turn, or by the visitor's address, so that one visitor stays with one origin
   * while it lives.
   * @default "round-robin"
   */
  readonly selection?: "round-robin" | "source-address";
  /** By name of the origin. */
  readonly settings?: Readonly<Record<string, OriginSettings>>;
  /** Encryption on the way to the origins. @default - plain */
  readonly tls?: ServerTls;
  /** Whole seconds for a connection to an origin. @default 2 - a lost packet is sent again after one */
  readonly connectTimeout?: number;
  /**
   * Path that must answer with a status below 500, asked about every second by plain HTTP.
   * @default - a connection is enough
   */
  readonly checkPath?: string;
  /**
   * Connections that must fail in a row until an origin gets no more requests. It is asked again every second or so.
   * @default 2 - with 2 s each, a machine without power costs a visitor 4 s at most
   */
  readonly connectFailLimit?: number;
}

/** Origins that hold the same. */
export class OriginPool extends Construct {
  readonly target: BalanceTarget;

  constructor(
    scope: Construct,
    readonly name: string,
    readonly props: OriginPoolProps,
  ) {
    super(scope, `pool-${name}`);
    if (!/^[a-z][a-z0-9-]{0,30}$/i.test(name)) {
      refuse(this, {
        code: "bad-name",
        what: `pool '${name}'`,
        allowed: "letters, digits and dashes, at most 31, a letter first: a word of squid.conf",
        fix: "choose such a name",
      });
    }
    checkPort(this, "port", props.port);
    this.target = props.to.balanceTarget(props.port);
    this.checkProps();
  }

  /** Does it take whatever no other pool takes? */
  get isDefault(): boolean {
    return !this.props.hosts?.length && !this.props.paths?.length;
  }

  get ports(): Port[] {
    return [...new Set(this.target.servers.map(({ port }) => port))].map((port) => Port.tcp(port));
  }

  /** PEM text of the authority that the origins' certificates are checked against, and where it is put. */
  get authority(): { path: string; text: string } | undefined {
    const text = this.props.tls?.props.authority;
    return text === undefined ? undefined : { path: `/etc/squid/tls/${this.name}-authority.pem`, text };
  }

  /** Lines of what the machines ask: POOL ADDRESS PORT HOST PATH. Squid itself looks up the addresses of host names. */
  checks(host: string): string {
    return this.target.servers
      .filter(({ address }) => isToken(address) || isIp(address))
      .map(({ address, port }) => `${this.name} ${address} ${port} ${host} ${this.props.checkPath ?? "-"}\n`)
      .join("");
  }

  get model(): SquidPool {
    const { props } = this;
    return {
      name: this.name,
      hosts: props.hosts ?? [],
      paths: props.paths ?? [],
      selection: props.selection === "source-address" ? "sourcehash" : "round-robin",
      connectTimeoutSeconds: props.connectTimeout ?? 2,
      connectFailLimit: props.connectFailLimit ?? 2,
      tls: props.tls && {
        verify: props.tls.verify,
        authorityFile: this.authority?.path,
        serverName: props.tls.props.serverName,
      },
      origins: this.target.servers.map((server) => ({
        ...server,
        weight: props.settings?.[server.name]?.weight ?? 1,
        standby: props.settings?.[server.name]?.standby ?? false,
      })),
    };
  }

  private checkProps(): void {
    const { hosts, paths, settings = {}, connectTimeout, connectFailLimit } = this.props;
    const names = this.target.servers.map(({ name }) => name);
    if (!names.length) {
      refuse(this, {
        code: "no-servers",
        what: `pool '${this.name}' has no origins`,
        allowed: "one origin at least",
        fix: "name them in 'to', or leave the pool out",
      });
    }
    if (this.target.mode === "tcp") {
      refuse(this, {
        code: "http-only",
        what: `the origins of '${this.name}' speak tcp`,
        allowed: "HTTP: what a cache does not understand it cannot keep",
        fix: "HaproxyKeepalivedPair balances TCP",
      });
    }
    for (const host of hosts ?? []) checkSite(this, host);
    const address = this.target.servers.find((server) => isToken(server.address) || isIp(server.address));
    if (this.props.tls?.verify && this.props.tls.props.serverName === undefined && address) {
      refuse(this, {
        code: "conflicting-setting",
        what: `the certificate of the origin '${address.name}' of '${this.name}', which is an address`,
        allowed:
          "the name in the origins' certificate: Squid looks for an origin's own name there, and for no address",
        fix: 'ServerTls.verified({ serverName: "origin.example.com" })',
      });
    }
    if (this.props.checkPath !== undefined && this.props.tls) {
      refuse(this, {
        code: "conflicting-setting",
        what: "'checkPath' with 'tls'",
        allowed: "a path where origins speak plain HTTP: checks of encrypted ones connect only",
        fix: "leave 'checkPath' out",
      });
    }
    for (const path of [...(paths ?? []), this.props.checkPath ?? "/"]) {
      if (/^\/[A-Za-z0-9/_.~%!$&'()*+,;=:@-]*$/.test(path)) continue;
      refuse(this, {
        code: "bad-path",
        what: `path '${path}'`,
        allowed: "a path from / on, percent-encoded, without a query",
        fix: "correct it",
      });
    }
    for (const [name, { weight, standby }] of Object.entries(settings)) {
      if (!names.includes(name)) {
        refuse(this, {
          code: "unknown-server",
          what: `'settings' names the origin '${name}'`,
          allowed: names.join(", "),
          fix: "correct the name",
        });
      }
      checkCount(this, `settings.${name}.weight`, weight, 1, 100, "shares beside the others'");
      if (standby && weight !== undefined) {
        refuse(this, {
          code: "conflicting-setting",
          what: `the origin '${name}' has a weight, and stands by`,
          allowed: "one of both: who stands by shares with nobody",
          fix: "leave one out",
        });
      }
    }
    if (names.every((name) => settings[name]?.standby)) {
      refuse(this, {
        code: "no-servers",
        what: `every origin of '${this.name}' stands by`,
        allowed: "one at least that does not",
        fix: "take 'standby' away from one",
      });
    }
    checkCount(this, "connectTimeout", connectTimeout, 1, 60, "whole seconds");
    checkCount(this, "connectFailLimit", connectFailLimit, 1, 100, "connections that fail");
  }
}
