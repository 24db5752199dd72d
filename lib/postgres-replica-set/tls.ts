import { isIP } from "node:net";
import { EtcdTls } from "../etcd/tls";
import { isToken, refuse } from "../problem";
import type { Secret } from "../secret/secret";
import { NodeCertificates } from "../tls/node-certificates";
import type { MemberAuthentication } from "./pg-hba";

export interface PostgresTlsProps {
  /** Whose certificates are trusted, PEM. Two during a change of the authority: the old one and the new one. */
  readonly trusted: readonly string[];
  /**
   * Between members: replication, copies and pg_rewind. A live set goes there by way of "optional", which takes both.
   * @default "required" - and whoever follows wants to see a certificate of a trusted authority
   */
  readonly members?: "optional" | "required";
  /**
   * By what members log in at each other for replication, copies and pg_rewind: the `memberPassword`, or their certificates alone, in their own
   * names (`/CN=db-1`, for servers and clients). PostgreSQL asks every client for a certificate then, and takes none that another authority issued.
   * @default "password"
   */
  readonly memberAuthentication?: MemberAuthentication;
  /**
   * To Patroni's REST interface, which load balancers and the members themselves ask. It takes one or the other: as a live set changes over,
   * load balancers see no member until they have their new files too, some seconds.
   * @default - as `members`: "none" while that is "optional"
   */
  readonly rest?: "none" | "required";
  /**
   * To the set's own etcd, and between its members; with certificates shown by both. A live set goes there by way of "optional", with the
   * others "required" before: its members restart one by one then, the primary after a switchover. An `EtcdCluster` has a `tls` of its own.
   * @default - as `members`: "none" while that is "optional"
   */
  readonly etcd?: "none" | "optional" | "required";
  /** For clients. A live set goes there by way of "optional", which takes both. @default "required" */
  readonly client?: "optional" | "required";
  /**
   * Clients have to show a certificate of a trusted authority, besides their password.
   * @default false - whom a client talks to is told by the member's certificate, and who it is by its password
   */
  readonly clientCertificates?: boolean;
}

export interface PostgresAuthorityProps extends PostgresTlsProps {
  /** Further names and addresses by which clients connect, a virtual IP's for example: each is in every certificate. @default none */
  readonly names?: readonly string[];
}

/** Certificates of the members: given, or issued on each member by a small authority of your own. */
export class PostgresTls extends NodeCertificates {
  /** By member: its certificate, the chain above it and its key, in one PEM. */
  static given(certificates: Readonly<Record<string, Secret>>, props: PostgresTlsProps): PostgresTls {
    return new PostgresTls(props, certificates, undefined, []);
  }

  /**
   * The authority's certificate and key in one PEM. Each member makes its own key, which never leaves it, and issues itself a
   * certificate for its name and address; a month before it expires the timer makes a new one, without a restart.
   */
  static authority(authority: Secret, props: PostgresAuthorityProps): PostgresTls {
    return new PostgresTls(props, undefined, authority, props.names ?? []);
  }

  readonly members: "optional" | "required";
  readonly memberAuthentication: MemberAuthentication;
  readonly client: "optional" | "required";
  readonly clientCertificates: boolean;
  readonly rest: boolean;
  readonly etcd: "none" | "optional" | "required";
  /** Did somebody say so? */
  readonly saysEtcd: boolean;

  private constructor(
    props: PostgresTlsProps,
    certificates: Readonly<Record<string, Secret>> | undefined,
    authority: Secret | undefined,
    /** Beside the member's own. */
    private readonly names: readonly string[],
  ) {
    super("PostgresTls", props.trusted, certificates, authority);
    this.members = props.members ?? "required";
    this.memberAuthentication = props.memberAuthentication ?? "password";
    this.rest = (props.rest ?? (this.members === "required" ? "required" : "none")) === "required";
    this.etcd = props.etcd ?? (this.members === "required" ? "required" : "none");
    this.saysEtcd = props.etcd !== undefined;
    this.client = props.client ?? "required";
    this.clientCertificates = props.clientCertificates ?? false;
    for (const name of names) {
      if (isToken(name) || isIP(name) || /^(\*\.)?[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?$/.test(name))
        continue;
      refuse("PostgresTls", {
        code: "bad-name",
        what: `'${name}' in a certificate`,
        allowed: "an address, or a name as DNS has it",
        fix: "check the spelling",
      });
    }
    if (this.memberAuthentication === "certificate" && this.members === "optional") {
      refuse("PostgresTls", {
        code: "conflicting-setting",
        what: 'memberAuthentication: "certificate" with members: "optional"',
        allowed: "who connects without TLS shows no certificate",
        fix: 'members: "required"',
      });
    }
    if (this.clientCertificates && this.client === "optional") {
      refuse("PostgresTls", {
        code: "conflicting-setting",
        what: "'clientCertificates' with client: \"optional\"",
        allowed: "who connects without TLS shows no certificate",
        fix: 'client: "required"',
      });
    }
  }

  /** The same certificates for an etcd on members of the set. */
  forEtcd(): EtcdTls | undefined {
    if (this.etcd === "none") return undefined;
    const props = { trusted: this.trusted, mode: this.etcd };
    return this.authority
      ? EtcdTls.authority(this.authority, props)
      : EtcdTls.given(this.certificates!, props);
  }

  /** As a certificate has them, beside the member's own name. */
  alternatives(...addresses: readonly string[]): string[] {
    return [
      ...new Set([
        ...addresses.map((address) => `IP:${address}`),
        ...this.names.map((name) => `${isIP(name) ? "IP" : "DNS"}:${name}`),
      ]),
    ];
  }
}
