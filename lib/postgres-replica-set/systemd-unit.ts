export interface UnitModel {
  readonly configDirectory: string;
  readonly program: string;
  readonly watchdog: boolean;
}

/** Patroni's unit: ours in place of the package's, whose file it covers. Pure. */
export function renderPatroniUnit({ configDirectory, program, watchdog }: UnitModel): string {
  return `# Managed by cdktf-ha-clusters.
[Unit]
Description=PostgreSQL, led by Patroni
After=network-online.target etcd.service
Wants=network-online.target

[Service]
Type=simple
User=postgres
Group=postgres
${watchdog ? "ExecStartPre=-+/sbin/modprobe softdog\nExecStartPre=-+/bin/chown postgres /dev/watchdog\n" : ""}ExecStartPre=+${program} render
ExecStart=/usr/bin/patroni ${configDirectory}
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
