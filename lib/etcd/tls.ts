import { NodeCertificates } from "../tls/node-certificates";
import type { Secret } from "../secret/secret";

export interface EtcdTlsProps {
  /**
   * Whose certificates are trusted, PEM. Two during a change of the authority: the old one and the new one. Whoever can have one
   * issued for any name is let in under any name: an authority of etcd's own.
   */
  readonly trusted: readonly string[];
  /**
   * A live cluster goes there by way of "optional": members speak TLS among each other, whoever uses the cluster does so too, and both kinds of
   * connections are taken. With "required" nothing else is, and each user may write what is its own only.
   * @default "required"
   */
  readonly mode?: "optional" | "required";
}

/**
 * Certificates of etcd's members: given, or issued on each member by a small authority of your own. Clients show one too; the
 * name in it is who they are.
 */
export class EtcdTls extends NodeCertificates {
  /**
   * By member: its certificate, the chain above it and its key, in one PEM. Its subject's common name is the member's name, and
   * it is for the member's address, as a server's and a client's.
   */
  static given(certificates: Readonly<Record<string, Secret>>, props: EtcdTlsProps): EtcdTls {
    return new EtcdTls(props, certificates, undefined);
  }

  /**
   * The authority's certificate and key in one PEM. Each member makes its own key, which never leaves it, and issues itself a
   * certificate for its name and address; a month before it expires the timer makes a new one, without a restart.
   */
  static authority(authority: Secret, props: EtcdTlsProps): EtcdTls {
    return new EtcdTls(props, undefined, authority);
  }

  readonly mode: "optional" | "required";

  private constructor(
    props: EtcdTlsProps,
    certificates: Readonly<Record<string, Secret>> | undefined,
    authority: Secret | undefined,
  ) {
    super("EtcdTls", props.trusted, certificates, authority);
    this.mode = props.mode ?? "required";
  }
}
