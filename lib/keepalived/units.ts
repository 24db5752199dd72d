import { SCRIPT_USER, STATE_DIRECTORY } from "./keepalived-conf";

/**
 * A keepalived that died comes back at once, without the addresses it held: killed, it would leave them behind. And it is
 * never given up on, as systemd does after five starts in ten seconds.
 */
export const KEEPALIVED_DROP_IN = `[Unit]
StartLimitIntervalSec=0

[Service]
Restart=always
RestartSec=200ms
KillMode=control-group
ExecStartPre=/usr/local/lib/cdktf-ha/vrrp-unit refresh
ExecReload=-/usr/local/lib/cdktf-ha/vrrp-unit refresh
ExecStartPre=/usr/bin/install --directory --owner=${SCRIPT_USER} ${STATE_DIRECTORY}
ExecStopPost=/usr/local/lib/cdktf-ha/vrrp-release
`;

/** systemd tells keepalived when a tracked unit comes up and when it has gone, however it went; as root (+), whoever runs it. */
export function unitDropIn(unit: string): string {
  return `[Service]
ExecStartPost=-+/usr/local/lib/cdktf-ha/vrrp-unit ${unit} 0
ExecStopPost=-+/usr/local/lib/cdktf-ha/vrrp-unit ${unit} 1
`;
}

/** For addresses that a cloud delivers. */
export const CLAIM_SERVICE = `[Unit]
Description=Claim virtual IPs again where this node is master
ConditionPathExistsGlob=${STATE_DIRECTORY}/*

[Service]
Type=oneshot
User=${SCRIPT_USER}
ExecStart=/usr/local/lib/cdktf-ha/vrrp-claim --verify
TimeoutStartSec=120
`;

export const CLAIM_TIMER = `[Unit]
Description=Claim virtual IPs again where this node is master

[Timer]
OnActiveSec=10
OnUnitInactiveSec=10
AccuracySec=1

[Install]
WantedBy=timers.target
`;
