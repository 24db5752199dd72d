/** By what members log in at each other. */
export type MemberAuthentication = "password" | "certificate";

/** Whom PostgreSQL takes a member's certificate for. */
const MEMBERS_MAP = "members";
const MEMBER_ROLES = ["replicator", "rewind"] as const;

/** Who may log in, from where, to what. Plain data. */
export interface HbaModel {
  /** Networks of the other members. */
  readonly members: readonly string[];
  /** Networks of the members of sets that follow this one: by password, since their names are not known here. */
  readonly standbys?: readonly string[];
  /** Networks of those whom the connections let in at 5432, in any order. */
  readonly clients: readonly string[];
  /** Networks of the members whose poolers log in for their clients. */
  readonly poolers?: readonly string[];
  /** Role, and user of the system, of an exporter on the machine. */
  readonly metrics?: string;
  /** Databases by the role that may use them. */
  readonly databases: Readonly<Record<string, readonly string[]>>;
  /** Nothing: whoever may come in does so as it likes. */
  readonly tls?: {
    readonly members: "optional" | "required";
    readonly memberAuthentication: MemberAuthentication;
    readonly client: "optional" | "required";
    readonly clientCertificates: boolean;
  };
}

/**
 * Lines of pg_hba.conf, exactly what the connections say. Pure. The superuser logs in on the machine itself only, as the
 * system's user postgres; what no line names is refused.
 */
export function renderHba({
  members,
  standbys = [],
  clients,
  poolers = [],
  metrics,
  databases,
  tls,
}: HbaModel): string[] {
  const host = (use?: "optional" | "required"): string => (use === "required" ? "hostssl" : "host");
  const [among, from] = [host(tls?.members), host(tls?.client)];
  const method = `scram-sha-256${tls?.clientCertificates ? " clientcert=verify-ca" : ""}`;
  return [
    "local all postgres peer",
    ...(metrics === undefined ? [] : [`local postgres ${metrics} peer`]),
    "local replication replicator scram-sha-256",
    ...memberLines(
      among,
      members,
      tls?.memberAuthentication === "certificate" ? `cert map=${MEMBERS_MAP}` : "scram-sha-256",
    ),
    ...memberLines(among, standbys, "scram-sha-256"),
    // who showed a certificate showed it to the pooler; and the first line that fits counts
    ...roleLines(from, databases, poolers, "scram-sha-256"),
    ...roleLines(from, databases, clients, method),
  ];
}

function memberLines(host: string, networks: readonly string[], method: string): string[] {
  return unique(networks).flatMap((network) => [
    `${host} replication replicator ${network} ${method}`,
    `${host} postgres rewind ${network} ${method}`,
  ]);
}

/** Lines of pg_ident.conf: a member of that name may come in by its certificate, as each of the members' roles. Pure. */
export function renderIdent(members: readonly string[]): string[] {
  return [...members].sort().flatMap((name) => MEMBER_ROLES.map((role) => `${MEMBERS_MAP} ${name} ${role}`));
}

/** Each role to its own databases, from each network: in the words that PostgreSQL and PgBouncer share. */
export function roleLines(
  host: string,
  databases: HbaModel["databases"],
  networks: readonly string[],
  method: string,
): string[] {
  const roles = Object.entries(databases)
    .filter(([, names]) => names.length)
    .sort(([a], [b]) => (a < b ? -1 : 1));
  return unique(networks).flatMap((network) =>
    roles.map(([role, names]) => `${host} ${[...names].sort().join(",")} ${role} ${network} ${method}`),
  );
}

/** In an order of its own. */
export function unique(networks: readonly string[]): string[] {
  return [...new Set(networks)].sort();
}
