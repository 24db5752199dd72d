/** Who may log in, from where, to what. Plain data. */
export interface HbaModel {
  /** Networks of the other members. */
  readonly members: readonly string[];
  /** Networks of those whom the connections let in at 5432, in any order. */
  readonly clients: readonly string[];
  /** Databases by the role that may use them. */
  readonly databases: Readonly<Record<string, readonly string[]>>;
}

/**
 * Lines of pg_hba.conf, exactly what the connections say. Pure. The superuser logs in on the machine itself only, as the
 * system's user postgres; what no line names is refused.
 */
export function renderHba({ members, clients, databases }: HbaModel): string[] {
  const unique = (networks: readonly string[]): string[] => [...new Set(networks)].sort();
  const roles = Object.entries(databases)
    .filter(([, names]) => names.length)
    .sort(([a], [b]) => (a < b ? -1 : 1));
  return [
    "local all postgres peer",
    "local replication replicator scram-sha-256",
    ...unique(members).flatMap((network) => [
      `host replication replicator ${network} scram-sha-256`,
      `host postgres rewind ${network} scram-sha-256`,
    ]),
    ...unique(clients).flatMap((network) =>
      roles.map(([role, names]) => `host ${[...names].sort().join(",")} ${role} ${network} scram-sha-256`),
    ),
  ];
}
