import { bracketed } from "../net";

/** What one member of etcd listens on and calls itself. */
export interface EtcdModel {
  readonly name: string;
  readonly address: string;
  readonly dataDirectory: string;
  readonly tls?: EtcdTlsModel;
}

/** Where a member's certificates are, and whether plain connections are taken beside. Plain data. */
export interface EtcdTlsModel {
  /** Chain and key in one. */
  readonly certificate: string;
  readonly trusted: string;
  readonly mode: "optional" | "required";
}

export const CLIENT_PORT = 2379;
export const PEER_PORT = 2380;
/** Of its own: between members etcd speaks one or the other on a port, and a live cluster goes from one to the other. */
export const TLS_PEER_PORT = 2381;

/** Where members listen to each other. */
export function peerPorts(mode: "none" | "optional" | "required"): number[] {
  return { none: [PEER_PORT], optional: [PEER_PORT, TLS_PEER_PORT], required: [TLS_PEER_PORT] }[mode];
}

/**
 * A member's environment: pure. Who the others are stands nowhere in here: etcd remembers that itself once it has started,
 * and a member that joins asks those that are there (on-machine/activate.sh). So nobody restarts when another one comes.
 */
export function renderEtcdEnvironment({ name, address, dataDirectory, tls }: EtcdModel): string {
  const plain = (port: number, host = address): string => `http://${bracketed(host)}:${port}`;
  const encrypted = (port: number): string => `https://${bracketed(address)}:${port}`;
  const local = plain(CLIENT_PORT, "127.0.0.1");
  const urls = {
    none: { peers: [plain(PEER_PORT)], clients: [plain(CLIENT_PORT), local] },
    // for clients etcd takes both on one port
    optional: {
      peers: [plain(PEER_PORT), encrypted(TLS_PEER_PORT)],
      clients: [plain(CLIENT_PORT), encrypted(CLIENT_PORT), local],
    },
    required: { peers: [encrypted(TLS_PEER_PORT)], clients: [encrypted(CLIENT_PORT)] },
  }[tls?.mode ?? "none"];
  const variables: Record<string, string | number> = {
    NAME: name,
    DATA_DIR: dataDirectory,
    LISTEN_PEER_URLS: urls.peers.join(),
    INITIAL_ADVERTISE_PEER_URLS: urls.peers[0]!,
    LISTEN_CLIENT_URLS: urls.clients.join(),
    // the plain one as long as there is one: who does not know TLS yet follows it
    ADVERTISE_CLIENT_URLS: urls.clients[0]!,
    ...(tls && encryption(tls)),
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

/** Files of certificates are read again at each handshake, those of the trusted ones at the start. */
function encryption({ certificate, trusted }: EtcdTlsModel): Record<string, string> {
  return {
    CERT_FILE: certificate,
    KEY_FILE: certificate,
    TRUSTED_CA_FILE: trusted,
    CLIENT_CERT_AUTH: "true",
    PEER_CERT_FILE: certificate,
    PEER_KEY_FILE: certificate,
    PEER_TRUSTED_CA_FILE: trusted,
    PEER_CLIENT_CERT_AUTH: "true",
    // it would ask by the member's own certificate, whoever asks it
    ENABLE_GRPC_GATEWAY: "false",
  };
}
