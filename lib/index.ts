import { guard } from "./input/guard";

export * from "./firewall/connections";
export * from "./firewall/peer";
export * from "./firewall/port";
export * from "./platform/machine";
export * from "./platform/outgoing";
export * from "./platform/platform";
export * from "./platform/ssh-access";
export * from "./platform/ssh-platform";
export * from "./problem";
export * from "./problem-codes";
export { Carrier, CARRIER_CONTEXT } from "./push/carrier";
export * from "./push/rollout";
export { shareText, type SharedText } from "./push/program";
export type { Around } from "./push/push";
export * from "./push/service";
export * from "./secret/secret";
export * from "./haproxy-keepalived-pair/algorithm";
export { Backend, type BackendProps, type ServerSettings } from "./haproxy-keepalived-pair/backend";
export * from "./haproxy-keepalived-pair/haproxy-keepalived-pair";
export {
  HealthCheck,
  type HttpCheckProps,
  type PatroniCheckProps,
} from "./haproxy-keepalived-pair/health-check";
export { Listener, type ListenerProps, type RouteProps } from "./haproxy-keepalived-pair/listener";
export { Servers, type BalanceServer, type BalanceTarget } from "./haproxy-keepalived-pair/servers";
export * from "./haproxy-keepalived-pair/tls";
export { Keepalived, type KeepalivedProps } from "./keepalived/keepalived";
export type { VirtualIpGroup, VirtualIpProps } from "./keepalived/virtual-ip-group";
export * from "./topology/topology";
export * from "./virtual-ip/virtual-ip";
export * from "./platform/aws/aws-platform";
export type { AttachedVolume, DataVolume } from "./platform/aws/data-volume";
export type { AwsMachine } from "./platform/aws/instance";
export * from "./platform/aws/machine-image";
export * from "./platform/aws/network";
export type { AddressOnMachine, MovingAddress } from "./virtual-ip/moving-address";
export * from "./service-tier/service-tier";
export * from "./keepalived/keepalived-pair";
export * from "./cassandra-ring/cassandra-ring";
export * from "./cassandra-ring/ring-props";
export { CassandraVersion, Java } from "./cassandra-ring/cassandra-version";
export type { YamlValue } from "./cassandra-ring/cassandra-yaml";
export { CassandraInstallation, type AptProps, type ArchiveProps } from "./cassandra-ring/installation";
export type { KeyspaceProps, Permission, ReplicationFactor, RoleProps } from "./cassandra-ring/keyspace";
export type { RingNode } from "./cassandra-ring/layout";
export { MetricsAgent, type MetricsProps } from "./cassandra-ring/metrics";
export { Snapshots, type SnapshotProps } from "./cassandra-ring/snapshots";
export { RingTls, type RingTlsProps } from "./cassandra-ring/tls";
export type { Tolerance } from "./cassandra-ring/tolerance";
export { EtcdCluster, type EtcdClusterProps } from "./etcd/etcd-cluster";
export { EtcdTls, type EtcdTlsProps } from "./etcd/tls";
export * from "./postgres-replica-set/postgres-replica-set";
export * from "./postgres-replica-set/replica-set-props";
export type { Access, DatabaseProps, DatabaseRoleProps } from "./postgres-replica-set/databases";
export {
  Backups,
  type BackupProps,
  type S3BackupProps,
  type SshBackupProps,
} from "./postgres-replica-set/backups";
export type { PostgresEndpoint } from "./postgres-replica-set/endpoint";
export type { PostgresMetricsProps } from "./postgres-replica-set/metrics";
export type { MemberProps, MemberRole, Members } from "./postgres-replica-set/members";
export { PostgresPackages, PostgresVersion, type PgdgProps } from "./postgres-replica-set/packages";
export type { PooledEndpoint } from "./postgres-replica-set/pooled-endpoint";
export type { PoolerModel, PoolerProps } from "./postgres-replica-set/pooler";
export type { Parameters, ParameterValue } from "./postgres-replica-set/parameters";
export type { Synchronous } from "./postgres-replica-set/patroni-yml";
export type { Recovery } from "./postgres-replica-set/recovery";
export type { LeaderVrrpProps } from "./postgres-replica-set/leader-address";
export type { StandbyOf, Standbys } from "./postgres-replica-set/standby";
export type { TakeOver } from "./postgres-replica-set/take-over";
export { Timers, type TimerProps } from "./postgres-replica-set/timers";
export type { MemberAuthentication } from "./postgres-replica-set/pg-hba";
export { PostgresTls, type PostgresAuthorityProps, type PostgresTlsProps } from "./postgres-replica-set/tls";
export { Workload } from "./postgres-replica-set/workload";
export type { CacheDiskProps, CacheProps } from "./squid-geo-proxy-tier/cache";
export type { SyslogCollectorProps } from "./log-collector/syslog-collector";
export type { LogCollectorProps } from "./squid-geo-proxy-tier/log-collector";
export type { SquidMetricsProps } from "./squid-geo-proxy-tier/metrics-service";
export { OriginPool, type OriginPoolProps, type OriginSettings } from "./squid-geo-proxy-tier/origin-pool";
export * from "./squid-geo-proxy-tier/refresh-rule";
export * from "./squid-geo-proxy-tier/splash-page";
export * from "./squid-geo-proxy-tier/squid-geo-proxy-tier";
export { SquidRegion, type SquidRegionProps } from "./squid-geo-proxy-tier/squid-region";
export * from "./drbd-nfs-pair/drbd-nfs-pair";
export * from "./drbd-nfs-pair/pair-props";
export type { NfsAlertsProps } from "./drbd-nfs-pair/alerts";
export type { ReplicationProtocol } from "./drbd-nfs-pair/drbd-resource";
export type { Squash } from "./drbd-nfs-pair/exports-file";
export { Fencing } from "./drbd-nfs-pair/fencing";
export type { AgentSwitch } from "./drbd-nfs-pair/agent-fencing";
export type { AwsFencingProps } from "./drbd-nfs-pair/aws-fencing";
export type { IpmiBoard } from "./drbd-nfs-pair/ipmi-fencing";
export type { ManagementBoard } from "./drbd-nfs-pair/management-board";
export type { RedfishBoard } from "./drbd-nfs-pair/redfish-fencing";
export type { LibvirtDomain } from "./drbd-nfs-pair/libvirt-fencing";
export type { CommandFencingProps } from "./drbd-nfs-pair/command-fencing";
export type { WatchdogFencingProps } from "./drbd-nfs-pair/watchdog-fencing";
export type { NfsMetricsProps } from "./drbd-nfs-pair/metrics";
export { NfsExport, NfsMount, type NfsExportProps } from "./drbd-nfs-pair/nfs-export";
export type { AdoptProps } from "./drbd-nfs-pair/pair-services";
export { Manager, type HeartbeatProps } from "./drbd-nfs-pair/manager";
export * from "./geo-dns/geo-dns";
export { GeoDnsService, type PowerDnsProps, type Route53Props } from "./geo-dns/geo-dns-service";
export { GeoDatabase } from "./geo-dns/geo-database";
export { NameServers, type NameServerProps, type NameServersProps } from "./geo-dns/name-servers";
export { Continent, type Place } from "./geo-dns/place";

// at the end, when all exports are there
guard(module.exports as Record<string, unknown>);
