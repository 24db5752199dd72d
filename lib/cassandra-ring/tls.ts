import { checkCertificate } from "../secret/certificate";
import type { Secret } from "../secret/secret";
import { refuse } from "../problem";

export interface RingTlsProps {
  /** Whose certificates are trusted, PEM. Two during a change of the authority: the old one and the new one. */
  readonly trusted: readonly string[];
  /**
   * Between nodes. A live ring (4.0 and later) goes there in three applies: with "none" nodes get certificates and
   * understand TLS, with "optional" they speak it, with "required" they take nothing else.
   * @default "required"
   */
  readonly internode?: "none" | "optional" | "required";
  /** For clients. A live ring goes there by way of "optional", which takes both. @default "required" */
  readonly client?: "none" | "optional" | "required";
  /** Clients have to show a certificate of a trusted authority, besides their password. @default true */
  readonly clientCertificates?: boolean;
}

/** Certificates of the nodes: given, or issued on each node by a small authority of your own. */
export class RingTls {
  /** By node: its certificate, the chain above it and its key, in one PEM. */
  static given(certificates: Readonly<Record<string, Secret>>, props: RingTlsProps): RingTls {
    return new RingTls(props, certificates, undefined);
  }

  /**
   * The authority's certificate and key in one PEM. Each node makes its own key, which never leaves it, and issues itself a
   * certificate for its name and address; a month before it expires the timer makes a new one, without a restart.
   */
  static authority(authority: Secret, props: RingTlsProps): RingTls {
    return new RingTls(props, undefined, authority);
  }

  private constructor(
    readonly props: RingTlsProps,
    readonly certificates: Readonly<Record<string, Secret>> | undefined,
    readonly authority: Secret | undefined,
  ) {
    for (const secret of Object.values(certificates ?? {})) checkCertificate("RingTls", secret);
    if (!props.trusted.length || props.trusted.some((pem) => !pem.includes("-----BEGIN CERTIFICATE-----"))) {
      refuse("RingTls", {
        code: "tls-without-certificate",
        what: "'trusted' holds no certificate",
        allowed: "certificates of authorities, PEM: without one nobody could be told from a stranger",
        fix: "trusted: [readFileSync('authority.pem', 'utf8')]",
      });
    }
  }

  get internode(): "none" | "optional" | "required" {
    return this.props.internode ?? "required";
  }

  get client(): "none" | "optional" | "required" {
    return this.props.client ?? "required";
  }

  get clientCertificates(): boolean {
    return this.props.clientCertificates ?? true;
  }

  /** The trusted certificates as one file, in a stable order. */
  get trust(): string {
    return this.props.trusted.map((pem) => `${pem.trim()}\n`).join("");
  }
}
