export interface NfsConfModel {
  readonly threads: number;
  /** Seconds for which a client that is silent keeps its locks. */
  readonly lease: number;
  /** Seconds in which clients may reclaim them after a failover. */
  readonly grace: number;
}

/** Of the NFS server: pure. */
export function renderNfsConf({ threads, lease, grace }: NfsConfModel): string {
  return [
    "# Managed by cdktf-ha-clusters.",
    "[nfsd]",
    `threads=${threads}`,
    `grace-time=${grace}`,
    `lease-time=${lease}`,
    // one port, and locks that are part of the protocol
    "vers3=n",
    "vers4=y",
    "vers4.2=y",
    "udp=n",
    "",
  ].join("\n");
}

/** What the server's unit has besides: the name under which both nodes are one server, and directories before exports. */
export function renderNfsDropIn(scope: string, directories: string): string {
  return [
    "# Managed by cdktf-ha-clusters.",
    "[Service]",
    `ExecStartPre=${directories}`,
    // one that is refused does not keep the others away
    "ExecStartPre=-/usr/sbin/exportfs -r",
    "ExecStart=",
    "# the scope of NFSv4.1 is the host name that the server sees as it starts",
    `ExecStart=/usr/bin/unshare --uts /bin/sh -c 'hostname ${scope}; exec /usr/sbin/rpc.nfsd'`,
    "",
  ].join("\n");
}
