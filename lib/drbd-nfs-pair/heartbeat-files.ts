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
