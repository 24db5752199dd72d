import { roleLines, unique } from "./pg-hba";
import type { PoolerModel } from "./pooler";
import { POOLER_PORT } from "./pooler";

export const POOLER_CONFIG = "/etc/pgbouncer/cdktf-ha";
/** Of PgBouncer's console: whoever pauses, from another member, and who looks after this one. */
export const CONSOLE_USERS = { pauses: "cdktf_ha_switch", follows: "cdktf_ha_follow" } as const;

/** A member's pooler. Plain data. */
export interface PgbouncerModel extends PoolerModel {
  readonly addresses: readonly string[];
  readonly tls?: {
    readonly client: "optional" | "required";
    readonly clientCertificates: boolean;
  };
}

/** Who comes in. Plain data. */
export interface PoolerHbaModel {
  /** Networks of all members. */
  readonly members: readonly string[];
  /** Networks of those whom the connections let in. */
  readonly clients: readonly string[];
  /** Databases by the role that may use them. */
  readonly databases: Readonly<Record<string, readonly string[]>>;
  readonly tls?: PgbouncerModel["tls"];
}

/**
 * pgbouncer.ini. Pure. Passwords, and which member leads, are put in on the machine (on-machine/pooler.py).
 */
export function renderPgbouncerIni(model: PgbouncerModel): string {
  const { tls } = model;
  return [
    "; Managed by cdktf-ha-clusters.",
    "; where to: the member that leads, written there",
    `%include ${POOLER_CONFIG}/databases.ini`,
    "",
    "[pgbouncer]",
    `listen_addr = ${model.addresses.join(",")}`,
    `listen_port = ${POOLER_PORT}`,
    "unix_socket_dir = /run/pgbouncer",
    `pool_mode = ${model.poolMode}`,
    `max_client_conn = ${model.maxClientConnections}`,
    `default_pool_size = ${model.defaultPoolSize}`,
    `query_wait_timeout = ${model.queryWaitTimeout}`,
    "auth_type = hba",
    `auth_hba_file = ${POOLER_CONFIG}/hba.conf`,
    `auth_file = ${POOLER_CONFIG}/userlist.txt`,
    `admin_users = ${CONSOLE_USERS.pauses}, ${CONSOLE_USERS.follows}`,
    "; drivers for Java ask for it, and it means nothing to who reads few digits",
    "ignore_startup_parameters = extra_float_digits",
    "; a server that comes back is tried again soon: until then its clients are refused",
    "server_login_retry = 1",
    "server_connect_timeout = 5",
    "; a machine without power: who waits for its answer is told after eight seconds",
    "tcp_keepalive = 1",
    "tcp_keepidle = 5",
    "tcp_keepintvl = 1",
    "tcp_keepcnt = 3",
    "tcp_user_timeout = 8000",
    ...(tls
      ? [
          `client_tls_sslmode = ${tls.client === "optional" ? "prefer" : tls.clientCertificates ? "verify-ca" : "require"}`,
          `client_tls_cert_file = ${POOLER_CONFIG}/member.pem`,
          `client_tls_key_file = ${POOLER_CONFIG}/member.pem`,
          "; also where none is asked for: a client shows the one it has",
          `client_tls_ca_file = ${POOLER_CONFIG}/trusted.pem`,
          `server_tls_sslmode = ${tls.client === "optional" ? "prefer" : "verify-ca"}`,
          `server_tls_ca_file = ${POOLER_CONFIG}/trusted.pem`,
        ]
      : []),
    "; the journal has who failed; a load balancer's checks are no news",
    "log_connections = 0",
    "log_disconnections = 0",
    "log_stats = 0",
    "",
  ].join("\n");
}

/** PgBouncer's own list of who comes in, the same that PostgreSQL has for clients that come by themselves. Pure. */
export function renderPoolerHba({ members, clients, databases, tls }: PoolerHbaModel): string {
  const host = tls?.client === "required" ? "hostssl" : "host";
  return [
    "# Managed by cdktf-ha-clusters.",
    `local pgbouncer ${CONSOLE_USERS.follows} scram-sha-256`,
    ...unique(members).map((network) => `${host} pgbouncer ${CONSOLE_USERS.pauses} ${network} scram-sha-256`),
    ...roleLines(host, databases, clients, "scram-sha-256"),
    "",
  ].join("\n");
}

/** PgBouncer's unit, in place of the package's, and that of the program that follows whoever leads. Pure. */
export function renderPoolerUnits(
  program: string,
  { maxClientConnections }: PoolerModel,
  /** Besides the member's own: PgBouncer reads where it listens at its start only. */
  furtherAddresses: readonly string[],
): { readonly pooler: string; readonly follower: string } {
  return {
    pooler: `# Managed by cdktf-ha-clusters.
${furtherAddresses.map((address) => `# listens on ${address} too\n`).join("")}[Unit]
Description=PgBouncer, which leads to the member that leads
After=network-online.target
Wants=network-online.target

[Service]
SyslogIdentifier=pgbouncer
Type=notify
User=pgbouncer
Group=pgbouncer
RuntimeDirectory=pgbouncer
RuntimeDirectoryPreserve=restart
ExecStartPre=+${program} render
ExecStart=/usr/sbin/pgbouncer ${POOLER_CONFIG}/pgbouncer.ini
ExecReload=+${program} render
ExecReload=/bin/kill -s HUP $MAINPID
# transactions come to their end
KillSignal=SIGINT
TimeoutStopSec=30
Restart=always
RestartSec=1
LimitNOFILE=${Math.max(4096, 2 * maxClientConnections + 1024)}

[Install]
WantedBy=multi-user.target
`,
    follower: `# Managed by cdktf-ha-clusters.
[Unit]
Description=Tells PgBouncer which member leads
After=pgbouncer.service

[Service]
SyslogIdentifier=pgbouncer
ExecStart=${program} follow
Restart=always
RestartSec=1

[Install]
WantedBy=multi-user.target
`,
  };
}
