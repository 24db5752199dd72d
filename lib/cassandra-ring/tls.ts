import type { Secret } from "../secret/secret";
import { NodeCertificates } from "../tls/node-certificates";

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
export class RingTls extends NodeCertificates {
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
    certificates: Readonly<Record<string, Secret>> | undefined,
    authority: Secret | undefined,
  ) {
    super("RingTls", props.trusted, certificates, authority);
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
}
