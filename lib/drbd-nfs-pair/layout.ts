/** Where everything of a pair is. */
export const RESOURCE = "nfs";
export const MINOR = 0;
export const DEVICE = `/dev/drbd${MINOR}`;
/** Mount point of the replicated volume, on whichever node serves. */
export const DIRECTORY = "/srv/nfs";
/** Below it a directory for each export: what the 2008 pair exported was the whole volume. */
export const EXPORTS = `${DIRECTORY}/exports`;
/** What the NFS server knows of its clients, outside of every export: recovery and locks move with the volume. */
export const STATE = `${DIRECTORY}/state`;

export const REPLICATION_PORT = 7788;
export const CLUSTER_PORT = 5405;
export const QUORUM_PORT = 5403;
export const NFS_PORT = 2049;

/** All nodes of a pair are one server to NFS clients: only under one name do they reclaim their locks. */
export const SERVER_SCOPE = "cdktf-ha-nfs";
