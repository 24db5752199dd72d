import { bracketed } from "../net";

/** What one member of etcd listens on and calls itself. */
export interface EtcdModel {
  readonly name: string;
  readonly address: string;
  readonly dataDirectory: string;
}

export const CLIENT_PORT = 2379;
export const PEER_PORT = 2380;

/**
 * A member's environment: pure. Who the others are stands nowhere in here: etcd remembers that itself once it has started,
 * and a member that joins asks those that are there (on-machine/activate.sh). So nobody restarts when another one comes.
 */
export function renderEtcdEnvironment({ name, address, dataDirectory }: EtcdModel): string {
  const url = (port: number, host = address): string => `http://${bracketed(host)}:${port}`;
  const variables: Record<string, string | number> = {
    NAME: name,
    DATA_DIR: dataDirectory,
    LISTEN_PEER_URLS: url(PEER_PORT),
    INITIAL_ADVERTISE_PEER_URLS: url(PEER_PORT),
    LISTEN_CLIENT_URLS: `${url(CLIENT_PORT)},${url(CLIENT_PORT, "127.0.0.1")}`,
    ADVERTISE_CLIENT_URLS: url(CLIENT_PORT),
    // what Patroni 3.0 speaks safely; see PatroniModel.etcdHosts
    ENABLE_V2: "true",
    // between zones an answer may take some milliseconds; a busy disk takes hundreds
    HEARTBEAT_INTERVAL: 200,
    ELECTION_TIMEOUT: 2000,
    // every change of a lock is kept as a revision until it is compacted
    AUTO_COMPACTION_MODE: "periodic",
    AUTO_COMPACTION_RETENTION: "1h",
    STRICT_RECONFIG_CHECK: "true",
    LOGGER: "zap",
  };
  return [
    "# Managed by cdktf-ha-clusters.",
    ...Object.entries(variables).map(([variable, value]) => `ETCD_${variable}=${value}`),
    "",
  ].join("\n");
}
