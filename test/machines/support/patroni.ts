import { Port, type Machine, type Secret, type Service, type ServiceTier } from "cdktf-ha-clusters";
import type { LabMachine } from "../../../machines/lab";
import { waitUntil } from "../../../machines/run";

export interface PatroniProps {
  /** Addresses by name: the same machines hold databases and etcd. */
  readonly members: Readonly<Record<string, string>>;
  readonly password: Secret;
}

const ETCD = { client: 2379, peer: 2380 };

/** PostgreSQL with automatic failover: Patroni, and etcd that knows who leads. Commits wait for a second member. */
export function patroniService(props: PatroniProps): Service {
  return {
    name: "patroni",
    describe: (machine) => ({
      packages: ["etcd-server", "postgresql-15", "patroni", "python3-etcd"].map((name) => ({ name })),
      files: [
        { path: "/etc/default/etcd", text: etcdEnvironment(machine, props), onChange: "restart" },
        {
          path: "/etc/patroni/15-main.yml",
          text: patroniYml(machine, props),
          owner: "postgres",
          mode: "0600",
        },
      ],
      units: ["etcd.service", "patroni@15-main.service"],
      secrets: [props.password],
    }),
  };
}

/** What members need of each other. */
export function allowPatroni({ connections }: ServiceTier): void {
  connections.allowInternally(...[5432, 8008, ETCD.client, ETCD.peer].map((port) => Port.tcp(port)));
}

function etcdEnvironment({ name, privateAddress }: Machine, { members }: PatroniProps): string {
  const url = (port: number, address = privateAddress): string => `http://${address}:${port}`;
  const cluster = Object.entries(members).map(([member, address]) => `${member}=${url(ETCD.peer, address)}`);
  const variables = {
    NAME: name,
    LISTEN_PEER_URLS: url(ETCD.peer),
    LISTEN_CLIENT_URLS: `${url(ETCD.client)},${url(ETCD.client, "127.0.0.1")}`,
    INITIAL_ADVERTISE_PEER_URLS: url(ETCD.peer),
    ADVERTISE_CLIENT_URLS: url(ETCD.client),
    INITIAL_CLUSTER: cluster.join(),
    INITIAL_CLUSTER_STATE: "new",
    ENABLE_V2: "true",
  };
  return Object.entries(variables)
    .map(([variable, value]) => `ETCD_${variable}=${value}\n`)
    .join("");
}

/** JSON is YAML. The times are the shortest that this Patroni takes. */
function patroniYml({ name, privateAddress }: Machine, { members, password }: PatroniProps): string {
  const subnet = "10.77.0.0/24";
  const settings = {
    scope: "15-main",
    name,
    restapi: { listen: `${privateAddress}:8008`, connect_address: `${privateAddress}:8008` },
    // Patroni 3.0.2 by etcd's newer interface: a leader that was cut off takes its lost lock back, whoever has it by now
    etcd: { hosts: Object.values(members).map((address) => `${address}:${ETCD.client}`) },
    bootstrap: {
      dcs: {
        ttl: 20,
        loop_wait: 5,
        retry_timeout: 5,
        synchronous_mode: true,
        postgresql: { use_pg_rewind: true, use_slots: true },
      },
      initdb: [{ encoding: "UTF8" }, "data-checksums"],
      pg_hba: [
        "local all all peer",
        `host all all ${subnet} scram-sha-256`,
        `host replication replicator ${subnet} scram-sha-256`,
      ],
    },
    postgresql: {
      listen: `${privateAddress}:5432`,
      connect_address: `${privateAddress}:5432`,
      data_dir: "/var/lib/postgresql/15/main",
      bin_dir: "/usr/lib/postgresql/15/bin",
      authentication: {
        superuser: { username: "postgres", password: password.placeholder },
        replication: { username: "replicator", password: password.placeholder },
        rewind: { username: "rewind", password: password.placeholder },
      },
      parameters: {
        unix_socket_directories: "/var/run/postgresql",
        shared_buffers: "32MB",
        max_connections: 60,
        wal_log_hints: "on",
      },
    },
  };
  return `${JSON.stringify(settings, undefined, 2)}\n`;
}

/** Members by their role as Patroni's own table shows it: `{ "db-1": "Leader" }`; only those that run. */
export async function patroniRoles(machine: LabMachine): Promise<Record<string, string>> {
  const { stdout } = await machine.ssh(
    "sudo -u postgres patronictl --config-file /etc/patroni/15-main.yml list --format json",
    { allowFailure: true, timeoutSeconds: 30 },
  );
  const members = (stdout.startsWith("[") ? JSON.parse(stdout) : []) as Record<string, string>[];
  return Object.fromEntries(
    members
      .filter(({ State }) => State === "running" || State === "streaming")
      .map(({ Member, Role }) => [Member!, Role!]),
  );
}

/**
 * Waits until so many members run, of which one leads and one holds every commit; their names. A member of etcd that was
 * cut off may tell old things for a moment: who knows the leader says so.
 */
export async function awaitPatroni(
  asked: LabMachine,
  members: number,
  knownLeader?: string,
): Promise<{ leader: string; standby: string }> {
  let found: Record<string, string> = {};
  const named = (role: string): string | undefined => Object.keys(found).find((name) => found[name] === role);
  await waitUntil(
    async () => {
      found = await patroniRoles(asked);
      const leader = named("Leader");
      const isLed = leader !== undefined && leader === (knownLeader ?? leader);
      return isLed && Object.keys(found).length === members && named("Sync Standby") !== undefined;
    },
    60,
    () => `members: ${JSON.stringify(found)}`,
    300,
  );
  return { leader: named("Leader")!, standby: named("Sync Standby")! };
}
