import { yamlText } from "../yaml-text";
import { CassandraVersion } from "./cassandra-version";

export type YamlValue =
  string | number | boolean | readonly YamlValue[] | { readonly [key: string]: YamlValue };

export interface YamlModel {
  readonly version: CassandraVersion;
  readonly clusterName: string;
  readonly numTokens: number;
  /** The highest replication factor in the node's datacenter: tokens are spread for it. */
  readonly allocateFor: number;
  /** Private address of the node, for other nodes and for clients. */
  readonly address: string;
  /** In the same order on every node. */
  readonly seeds: readonly string[];
  readonly dataDirectory: string;
  readonly phiConvictThreshold: number;
  readonly thrift: boolean;
  readonly tls?: YamlTls;
  /** The user's own settings; they come last, so that they can be found. */
  readonly settings: Readonly<Record<string, YamlValue>>;
}

export interface YamlTls {
  readonly internode: "none" | "optional" | "required";
  readonly client: "none" | "optional" | "required";
  readonly clientCertificates: boolean;
  readonly keystore: string;
  readonly truststore: string;
  /** A placeholder: the value is the machine's. */
  readonly password: string;
}

/** Settings that the construct itself decides: two places that say them would contradict each other one day. */
export const OWN_SETTINGS: Readonly<Record<string, string>> = {
  cluster_name: "clusterName",
  num_tokens: "numTokens",
  initial_token: "numTokens (tokens are allocated)",
  allocate_tokens_for_keyspace: "keyspaces",
  allocate_tokens_for_local_replication_factor: "keyspaces",
  seed_provider: "seeds",
  listen_address: "the machine's private address",
  listen_interface: "the machine's private address",
  rpc_address: "the machine's private address",
  rpc_interface: "the machine's private address",
  broadcast_address: "the machine's private address",
  broadcast_rpc_address: "the machine's private address",
  endpoint_snitch: "nodes and datacenters",
  storage_port: "none: 7000",
  ssl_storage_port: "none: 7001",
  native_transport_port: "none: 9042",
  start_rpc: "thrift",
  rpc_port: "thrift",
  authenticator: "superuser",
  authorizer: "superuser",
  role_manager: "superuser",
  server_encryption_options: "tls",
  client_encryption_options: "tls",
  data_file_directories: "dataVolume",
  commitlog_directory: "dataVolume",
  hints_directory: "dataVolume",
  saved_caches_directory: "dataVolume",
  phi_convict_threshold: "phiConvictThreshold",
  auto_bootstrap: "none: a node that joins gets its data",
};

/**
 * cassandra.yaml as that version reads it. Settings that the version's own class has a poorer default for than the file
 * it ships are written out. Pure.
 */
export function renderCassandraYaml(model: YamlModel): string {
  const { version, dataDirectory, tls } = model;
  const v40 = version.atLeast(CassandraVersion.V4_0);
  const v41 = version.atLeast(CassandraVersion.V4_1);
  const settings: Record<string, YamlValue> = {
    cluster_name: model.clusterName,
    num_tokens: model.numTokens,
    ...(v40 && model.numTokens > 1
      ? { allocate_tokens_for_local_replication_factor: model.allocateFor }
      : {}),
    partitioner: "org.apache.cassandra.dht.Murmur3Partitioner",
    seed_provider: [
      {
        class_name: "org.apache.cassandra.locator.SimpleSeedProvider",
        parameters: [{ seeds: model.seeds.join(",") }],
      },
    ],
    endpoint_snitch: "GossipingPropertyFileSnitch",
    listen_address: model.address,
    storage_port: 7000,
    ssl_storage_port: 7001,
    rpc_address: model.address,
    start_native_transport: true,
    native_transport_port: 9042,
    ...(version.hasThrift ? { start_rpc: model.thrift, rpc_port: 9160 } : {}),
    authenticator: "PasswordAuthenticator",
    authorizer: "CassandraAuthorizer",
    role_manager: "CassandraRoleManager",
    // a login must not need more replicas than the data does: one is enough, as it was before 4.1
    ...(v41 ? { auth_read_consistency_level: "LOCAL_ONE" } : {}),
    data_file_directories: [`${dataDirectory}/data`],
    commitlog_directory: `${dataDirectory}/commitlog`,
    hints_directory: `${dataDirectory}/hints`,
    saved_caches_directory: `${dataDirectory}/saved_caches`,
    commitlog_sync: "periodic",
    ...(v41 ? { commitlog_sync_period: "10000ms" } : { commitlog_sync_period_in_ms: 10000 }),
    disk_failure_policy: "stop",
    commit_failure_policy: "stop",
    trickle_fsync: true,
    hinted_handoff_enabled: true,
    auto_snapshot: true,
    incremental_backups: false,
    internode_compression: "dc",
    phi_convict_threshold: model.phiConvictThreshold,
    ...(tls ? tlsSettings(version, tls) : {}),
  };
  const others = Object.entries(settings).filter(([key]) => !(key in model.settings));
  const own = Object.entries(model.settings).sort(([a], [b]) => (a < b ? -1 : 1));
  return [
    `# Managed by cdktf-ha-clusters, for Cassandra ${version.line}.\n`,
    yamlText(Object.fromEntries(others)),
    own.length ? `# From 'settings':\n${yamlText(Object.fromEntries(own))}` : "",
  ].join("");
}

function tlsSettings(version: CassandraVersion, tls: YamlTls): Record<string, YamlValue> {
  const v40 = version.atLeast(CassandraVersion.V4_0);
  // one setting, that 4.1 has renamed
  const legacyPort = version.unitsInValues
    ? "legacy_ssl_storage_port_enabled"
    : "enable_legacy_ssl_storage_port";
  const stores = {
    keystore: tls.keystore,
    keystore_password: tls.password,
    truststore: tls.truststore,
    truststore_password: tls.password,
    store_type: "PKCS12",
    protocol: "TLS",
    ...(v40 ? { accepted_protocols: ["TLSv1.3", "TLSv1.2"] } : {}),
  };
  return {
    ...(tls.internode === "none" && !v40
      ? {}
      : {
          server_encryption_options: {
            // none: the node has a certificate and understands TLS, and speaks as it did before
            internode_encryption: tls.internode === "none" ? "none" : "all",
            ...(v40 ? { optional: tls.internode !== "required", [legacyPort]: false } : {}),
            require_client_auth: true,
            require_endpoint_verification: false,
            ...stores,
          },
        }),
    ...(tls.client === "none"
      ? {}
      : {
          client_encryption_options: {
            enabled: true,
            optional: tls.client === "optional",
            require_client_auth: tls.clientCertificates,
            ...stores,
          },
        }),
  };
}
