import type { IConstruct } from "constructs";
import { checkPort } from "../firewall/port";
import { isHostName, isIp } from "../net";
import { isToken, refuse } from "../problem";
import { checkTrusted, trustText } from "../tls/trusted";

/** Takes log messages as they are written, in the words of syslog (RFC 5424). */
export interface SyslogCollectorProps {
  /** Name or address. Where the platform's `outgoing` says where machines may go, it has to be among it. */
  readonly address: string;
  /** @default 514, or 6514 with TLS: syslog's own */
  readonly port?: number;
  /** @default "tcp" - by UDP nobody notices what is lost */
  readonly protocol?: "tcp" | "udp";
  /**
   * Authorities, PEM: by TLS, to whoever shows a certificate of one of them for `name`. The collector is shown none.
   * @default - plainly: a network of your own. Statements that fail stand in PostgreSQL's log, with their values
   */
  readonly trusted?: readonly string[];
  /** What stands in the collector's certificate: rsyslog looks for names there, never for addresses. @default - `address` */
  readonly name?: string;
}

export interface SyslogCollector {
  readonly address: string;
  readonly port: number;
  readonly protocol: "tcp" | "udp";
  readonly tls?: { readonly trust: string; readonly name: string };
}

export function syslogCollectorOf(scope: IConstruct, props: SyslogCollectorProps): SyslogCollector {
  const { address, protocol = "tcp", trusted, name = address } = props;
  const port = props.port ?? (trusted ? 6514 : 514);
  checkPort(scope, "logCollector.port", port);
  if (isToken(address) || !(isIp(address) || isHostName(address))) {
    refuse(scope, {
      code: "bad-address",
      what: `'logCollector.address' is '${address}'`,
      allowed: "a name or an address that stands in the code, without a scheme or a port",
      fix: "address: \"logs.example.net\", and its port as 'port'",
    });
  }
  if (!trusted && props.name !== undefined) {
    refuse(scope, {
      code: "conflicting-setting",
      what: `'logCollector' has 'name' ('${name}') and no 'trusted'`,
      allowed: "both: a name is looked for in a certificate, and without 'trusted' everything goes plainly",
      fix: "trusted: [readFileSync('authority.pem', 'utf8')]",
    });
  }
  if (!trusted) return { address, port, protocol };
  if (protocol === "udp") {
    refuse(scope, {
      code: "conflicting-setting",
      what: "'logCollector' has 'trusted' and protocol: \"udp\"",
      allowed: "TLS, which is by TCP",
      fix: "leave 'protocol' out",
    });
  }
  checkTrusted(scope, "logCollector.trusted", trusted);
  if (isToken(name) || !isHostName(name)) {
    refuse(scope, {
      code: "bad-name",
      what: `'${name}' in the certificate of a collector of logs`,
      allowed: "a name: rsyslog finds no addresses in certificates",
      fix: 'name: "logs.example.net"',
    });
  }
  return { address, port, protocol, tls: { trust: trustText(trusted), name } };
}
