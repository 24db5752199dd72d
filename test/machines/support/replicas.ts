import type { LabMachine } from "../../../machines/lab";

/** Where the plain servers listen. */
export const PLAIN_PORT = 5433;

/** Segments are kept: between the start of a copy and the slot that keeps them another copy's checkpoint could remove them. */
const CREATE = `
  pg_createcluster --port ${PLAIN_PORT} 15 plain -- --auth-local=peer --auth-host=scram-sha-256 >/dev/null
  cat >>/etc/postgresql/15/plain/postgresql.conf <<<"listen_addresses = '*'
shared_buffers = 16MB
wal_keep_size = 64MB"
  cat >>/etc/postgresql/15/plain/pg_hba.conf <<<"host all all 10.77.0.0/24 scram-sha-256
host replication replicator 10.77.0.0/24 scram-sha-256"`;

/** A primary and its streaming replicas, as somebody sets them up by hand: nobody fails over. */
export async function startReplicas(
  primary: LabMachine,
  replicas: readonly LabMachine[],
  password: string,
): Promise<void> {
  await primary.ssh(`set -e
    ${CREATE}
    pg_ctlcluster 15 plain start
    sudo -u postgres psql --quiet --port ${PLAIN_PORT} <<'END'
      create role replicator login replication password '${password}';
      create role app login password '${password}';
      create table public.things as select generate_series(1, 10) as id;
      grant select on public.things to app;
END`);
  await Promise.all(
    replicas.map((replica) =>
      replica.ssh(
        `set -e
        ${CREATE}
        rm -r /var/lib/postgresql/15/plain
        sudo -u postgres pg_basebackup --write-recovery-conf --checkpoint=fast --pgdata=/var/lib/postgresql/15/plain \\
          --dbname='host=${primary.address} port=${PLAIN_PORT} user=replicator password=${password}'
        pg_ctlcluster 15 plain start`,
        { timeoutSeconds: 120 },
      ),
    ),
  );
}
