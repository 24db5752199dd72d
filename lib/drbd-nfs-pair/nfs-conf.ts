import { LOCK_PORT, MOUNT_PORT, STATUS_PORT } from "./layout";

export interface NfsConfModel {
  readonly threads: number;
  /** Seconds for which a client that is silent keeps its locks. */
  readonly lease: number;
  /** Seconds in which clients may reclaim them after a failover. */
  readonly grace: number;
  /** Clients of version 3 too. */
  readonly version3: boolean;
}

/** Of the NFS server: pure. */
export function renderNfsConf({ threads, lease, grace, version3 }: NfsConfModel): string {
  return [
    "# Managed by cdktf-ha-clusters.",
    "[nfsd]",
    `threads=${threads}`,
    `grace-time=${grace}`,
    `lease-time=${lease}`,
    // version 4 has one port, and locks that are part of the protocol
    `vers3=${version3 ? "y" : "n"}`,
    "vers4=y",
    "vers4.2=y",
    "udp=n",
    "[mountd]",
    // exportfs reads it too: with a list of exports on a full volume it would end up with none
    "state-directory-path=/run/cdktf-ha-nfs",
    ...(version3
      ? [
          `port=${MOUNT_PORT}`,
          "[statd]",
          `port=${STATUS_PORT}`,
          "[lockd]",
          `port=${LOCK_PORT}`,
          `udp-port=${LOCK_PORT}`,
        ]
      : []),
    "",
  ].join("\n");
}

/** Seconds; the kernel takes no more. */
const LONGEST_LOCK_GRACE = 240;

/** What the server's unit has besides: the name under which both nodes are one server, and directories before exports. */
export function renderNfsDropIn(
  scope: string,
  directories: string,
  { version3, grace }: NfsConfModel,
): string {
  return [
    "# Managed by cdktf-ha-clusters.",
    "[Service]",
    `ExecStartPre=${directories}`,
    // one that is refused does not keep the others away
    "ExecStartPre=-/usr/sbin/exportfs -r",
    ...(version3
      ? [
          "# locks of version 3 have a grace of their own, which ends early only where nobody had any",
          "ExecStartPre=/sbin/modprobe lockd",
          `ExecStartPre=/sbin/sysctl --quiet fs.nfs.nlm_grace_period=${Math.min(grace, LONGEST_LOCK_GRACE)}`,
        ]
      : []),
    "ExecStart=",
    "# the scope of NFSv4.1 is the host name that the server sees as it starts",
    `ExecStart=/usr/bin/unshare --uts /bin/sh -c 'hostname ${scope}; exec /usr/sbin/rpc.nfsd'`,
    "",
  ].join("\n");
}
