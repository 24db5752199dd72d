/** Where everything of a pair is. */
export const RESOURCE = "nfs";
export const MINOR = 0;
export const DEVICE = `/dev/drbd${MINOR}`;
/** Mount point of the replicated volume, on whichever node serves. */
export const DIRECTORY = "/srv/nfs";
/** The node that has the volume is changed last. */
export const ACTIVE = `mountpoint --quiet ${DIRECTORY}`;
/** Shell: what has to begin anew does so on the node that has nothing to serve; a push may have changed the other one just before. */
export const HAND_OVER = `if ${ACTIVE}; then HA_PATIENCE=120 /usr/local/sbin/nfs-pair-switchover; fi`;
/** Below it a directory for each export: what the 2008 pair exported was the whole volume. */
export const EXPORTS = `${DIRECTORY}/exports`;
/** What the NFS server knows of its clients, outside of every export: recovery and locks move with the volume. */
export const STATE = `${DIRECTORY}/state`;

/** Pacemaker's and Heartbeat's agent for the NFS server: our own. */
export const SERVER_AGENT = "ocf:cdktf-ha:nfs-server";
export const SERVER_AGENT_FILE = "/usr/lib/ocf/resource.d/cdktf-ha/nfs-server";
/** And for telling its clients that it has moved. */
export const CLIENTS_AGENT = "ocf:cdktf-ha:nfs-clients";
export const CLIENTS_AGENT_FILE = "/usr/lib/ocf/resource.d/cdktf-ha/nfs-clients";

/** What the hooks share. */
export const PROGRAMS = "/usr/local/lib/cdktf-ha/drbd-nfs";

export const REPLICATION_PORT = 7788;
export const CLUSTER_PORT = 5405;
export const HEARTBEAT_PORT = 694;
export const QUORUM_PORT = 5403;
export const NFS_PORT = 2049;
/** Of version 3 alone: who has which port, mounts, the locks, and whose machine was started anew. */
export const RPC_PORT = 111;
export const MOUNT_PORT = 20048;
/** Not the 32803 of Red Hat's: any connection of the machine's own may have that one, and the server would not start. */
export const LOCK_PORT = 4045;
export const STATUS_PORT = 662;

/** All nodes of a pair are one server to NFS clients: only under one name do they reclaim their locks. */
export const SERVER_SCOPE = "cdktf-ha-nfs";
