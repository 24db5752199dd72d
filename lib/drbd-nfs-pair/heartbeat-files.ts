import type { MountModel } from "./cib";
import type { HeartbeatProps, HeartbeatTimes } from "./manager";

export interface HaCfModel extends HeartbeatTimes {
  readonly transport: NonNullable<HeartbeatProps["transport"]>;
  readonly port: number;
  /** Network interface of this node; the rest is the same on both. */
  readonly interface: string;
  readonly nodes: readonly { readonly name: string; readonly address: string }[];
}

/** Who is there and when one counts as dead: pure. */
export function renderHaCf({ nodes, ...model }: HaCfModel): string {
  return [
    "# Managed by cdktf-ha-clusters.",
    "logfacility daemon",
    `keepalive ${model.keepalive}`,
    `warntime ${model.warntime}`,
    `deadtime ${model.deadtime}`,
    `initdead ${model.initdead}`,
    `udpport ${model.port}`,
    ...(model.transport === "bcast"
      ? [`bcast ${model.interface}`]
      : // its own address is passed over
        nodes.map(({ address }) => `ucast ${model.interface} ${address}`)),
    "# each move is a gap: who serves goes on serving",
    "auto_failback off",
    ...nodes.map(({ name }) => `node ${name}`),
    "crm off",
    "",
  ].join("\n");
}

export interface HaresourcesModel {
  /** Who serves when both start at once. */
  readonly preferred: string;
  readonly drbdResource: string;
  readonly fileSystem: MountModel;
  readonly virtualIp: { readonly address: string; readonly prefix: number };
}

/** What is started, in this order, and stopped in the reverse one: pure. Clients see silence, never a server without their export. */
export function renderHaresources({
  preferred,
  drbdResource,
  fileSystem: { device, directory, type, options },
  virtualIp: { address, prefix },
}: HaresourcesModel): string {
  const resources = [
    `drbddisk::${drbdResource}`,
    `Filesystem::${device}::${directory}::${type}::${options}`,
    "nfs-server",
    `IPaddr2::${address}/${prefix}`,
    "nfs-clients",
  ];
  return `# Managed by cdktf-ha-clusters.\n${preferred} ${resources.join(" ")}\n`;
}

/** What the nodes prove to know to each other: pure. */
export function renderAuthkeys(secret: string): string {
  return `auth 1\n1 sha1 ${secret}\n`;
}

/**
 * How systemd runs it, beside the package's unit: pure. After a cut Heartbeat ends and goes on as a process of its own. The package's unit takes that
 * for the end of the service: from then on `systemctl stop` stops nothing. Here it runs as long as there is a process of it.
 *
 * One that dies comes back when the other node has noticed: without a partner nobody could ask that one for anything.
 */
export function renderHeartbeatUnit(programs: string, deadtime: number): string {
  return `# Managed by cdktf-ha-clusters.
[Service]
Type=forking
GuessMainPID=no
PIDFile=
ExecStartPre=/bin/bash ${programs}/heartbeat-begin.sh
ExecStart=
ExecStart=/usr/libexec/heartbeat/heartbeat
ExecStop=
ExecStop=/bin/bash ${programs}/heartbeat-end.sh
# what its scripts were about to start is not started after it
KillMode=control-group
ExecStopPost=/bin/bash ${programs}/heartbeat-release.sh
Restart=always
RestartSec=${deadtime + 10}
`;
}
