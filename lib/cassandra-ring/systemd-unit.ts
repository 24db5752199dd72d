export interface UnitModel {
  readonly openFiles: number;
  /** Directory of everything that the daemon writes. */
  readonly dataDirectory: string;
}

/**
 * The daemon may write its data and nothing else. `Restart` brings a crashed node back; a node that crashes again and
 * again stops after five attempts in ten minutes, so that it does not join and leave all night. Pure.
 */
export function renderUnit({ openFiles, dataDirectory }: UnitModel): string {
  return `# Managed by cdktf-ha-clusters.
[Unit]
Description=Apache Cassandra
Documentation=https://cassandra.apache.org/doc/
After=network-online.target time-sync.target
Wants=network-online.target
RequiresMountsFor=${dataDirectory}
StartLimitIntervalSec=600
StartLimitBurst=5

[Service]
User=cassandra
Group=cassandra
ExecStartPre=+-/sbin/swapoff --all
ExecStart=/usr/local/lib/cdktf-ha/cassandra/start
# drain before, where somebody stops it in order: see ExecStop
ExecStop=-/usr/local/lib/cdktf-ha/cassandra/nodetool drain
# 143: the JVM's way to say that it ended by SIGTERM
SuccessExitStatus=143
Restart=on-failure
RestartSec=10
TimeoutStartSec=infinity
TimeoutStopSec=300
SyslogIdentifier=cassandra
LimitNOFILE=${openFiles}
LimitNPROC=32768
LimitMEMLOCK=infinity
LimitAS=infinity
LimitCORE=0
UMask=0027
WorkingDirectory=${dataDirectory}
RuntimeDirectory=cassandra
RuntimeDirectoryMode=0750
NoNewPrivileges=yes
CapabilityBoundingSet=
PrivateTmp=yes
PrivateDevices=yes
ProtectSystem=strict
ProtectHome=yes
ProtectKernelTunables=yes
ProtectKernelModules=yes
ProtectKernelLogs=yes
ProtectControlGroups=yes
ProtectClock=yes
ProtectHostname=yes
RestrictSUIDSGID=yes
RestrictRealtime=yes
RestrictNamespaces=yes
LockPersonality=yes
RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX
SystemCallArchitectures=native
ReadWritePaths=${dataDirectory}

[Install]
WantedBy=multi-user.target
`;
}
