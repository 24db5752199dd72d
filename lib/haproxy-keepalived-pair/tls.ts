import { checkCertificate } from "../secret/certificate";
import type { Secret } from "../secret/secret";

export interface TlsProps {
  /** Oldest protocol version that is accepted. @default "TLSv1.2" - 1.0 and 1.1 are deprecated by RFC 8996 */
  readonly minimumVersion?: "TLSv1.2" | "TLSv1.3";
  /** HTTP/2 besides HTTP/1.1. @default true */
  readonly http2?: boolean;
  /**
   * Seconds for which browsers keep to HTTPS (Strict-Transport-Security); 0 sends no header.
   * @default 31536000 - one year; browsers remember it, so try with a small value first where HTTP must remain possible
   */
  readonly hstsSeconds?: number;
  /** PEM text of the authorities whose client certificates are demanded. @default - clients need no certificate */
  readonly clientAuthorities?: string;
}

/** What happens to TLS at a listener. */
export class Tls {
  /**
   * Ends here, with this certificate.
   * @param certificate PEM: the certificate, its chain and its private key, in one secret
   */
  static certificate(certificate: Secret, props: TlsProps = {}): Tls {
    return new Tls([certificate], props);
  }

  /** Ends here; each client gets the certificate of the name it asks for (SNI), or the first one. */
  static certificates(certificates: readonly Secret[], props: TlsProps = {}): Tls {
    return new Tls(certificates, props);
  }

  /** Goes through unread to servers that end it themselves; the listener's mode is tcp, and routes know the name (SNI) only. */
  static passthrough(): Tls {
    return new Tls("passthrough", {});
  }

  private constructor(
    readonly certificates: readonly Secret[] | "passthrough",
    readonly props: TlsProps,
  ) {
    if (certificates !== "passthrough") for (const secret of certificates) checkCertificate("Tls", secret);
  }
}

export interface ServerTlsProps {
  /** Authority of the servers' certificates, PEM. @default - the machine's own list (package ca-certificates) */
  readonly authority?: string;
  /**
   * Name the servers' certificates are for. A tcp backend needs one, and so does a pool of Squid's whose origins are addresses.
   * @default - the host that the client asked for; for Squid, which cannot, the origin's own name
   */
  readonly serverName?: string;
}

/** TLS between the load balancer and its servers. */
export class ServerTls {
  /** Encrypted, and the server shows who it is. */
  static verified(props: ServerTlsProps = {}): ServerTls {
    return new ServerTls(true, props);
  }

  /** Encrypted to whoever answers: against listening, not against somebody in between. */
  static unverified(props: Pick<ServerTlsProps, "serverName"> = {}): ServerTls {
    return new ServerTls(false, props);
  }

  private constructor(
    readonly verify: boolean,
    readonly props: ServerTlsProps,
  ) {}
}
