export interface UnitModel {
  readonly configDirectory: string;
  readonly program: string;
  readonly dataRoot: string;
  readonly watchdog: boolean;
  readonly hugePages: boolean;
  readonly etcdTls: boolean;
  /** First number of its version. */
  readonly patroni: number;
}

/** Patroni's unit: ours in place of the package's, whose file it covers. Pure. */
export function renderPatroniUnit({
  configDirectory,
  program,
  dataRoot,
  watchdog,
  hugePages,
  etcdTls,
  patroni,
}: UnitModel): string {
  return `# Managed by cdktf-ha-clusters.
${patroni === 3 ? "" : `# Patroni ${patroni}: this line makes it start anew where it was another one.\n`}[Unit]
Description=PostgreSQL, led by Patroni
After=network-online.target etcd.service
Wants=network-online.target
# a volume that is not there yet is waited for: without it the member would begin again, with nothing
RequiresMountsFor=${dataRoot}
# whatever ends it, a full disk for instance, may be over in an hour
StartLimitIntervalSec=0

[Service]
Type=simple
SyslogIdentifier=patroni
User=postgres
Group=postgres
${watchdog ? "ExecStartPre=-+/sbin/modprobe softdog\nExecStartPre=-+/bin/chown postgres /dev/watchdog\n" : ""}ExecStartPre=+${program} render
${hugePages ? `# a server starts without them too\nExecStartPre=-+/usr/bin/timeout 60 ${program} huge-pages\n` : ""}${etcdTls ? "# Read at its start only: this line makes it start anew.\nEnvironment=PATRONI_ETCD_PROTOCOL=https\n" : ""}ExecStart=/usr/bin/patroni ${configDirectory}
ExecReload=+${program} render
ExecReload=/bin/kill -s HUP $MAINPID
# Patroni stops PostgreSQL itself; killed, it leaves PostgreSQL running, finds it again, or loses its lock.
KillMode=process
# The last checkpoint of large buffers takes its time, and a killed PostgreSQL takes longer to start.
TimeoutStopSec=600
Restart=always
RestartSec=2
LimitNOFILE=65536
OOMScoreAdjust=-500

[Install]
WantedBy=multi-user.target
`;
}
