/** Pure: what keepalived is to do on one node, and its configuration file. */
export interface KeepalivedModel {
  /** The node's name. */
  readonly node: string;
  /** Interface that holds the node's own address. */
  readonly interface: string;
  readonly sourceAddress: string;
  readonly peerAddresses: readonly string[];
  readonly instances: readonly VrrpInstance[];
  /** systemd units without which the node must not serve. */
  readonly units: readonly string[];
  /** Processes without which the node must not serve. */
  readonly processes: readonly string[];
  /** Scripts without whose success the node must not serve. */
  readonly scripts: readonly VrrpScript[];
}

export interface VrrpScript {
  readonly name: string;
  /** Path and arguments; run as an ordinary user. */
  readonly command: string;
  /** Seconds between runs, and for a run to take at the most. */
  readonly interval: number;
  /** Failures in a row until the node gives up. */
  readonly fall: number;
}

export interface VrrpInstance {
  readonly name: string;
  /** 1 to 255, one group on a segment. */
  readonly virtualRouterId: number;
  /** 1 to 254; the highest of those alive serves. */
  readonly priority: number;
  /** Seconds; VRRP version 3 counts in hundredths. */
  readonly advertInterval: number;
  readonly preempt: boolean;
  /** Seconds a returned node waits before it takes the addresses back. */
  readonly preemptDelay: number;
  /** With prefix lengths. Where there are none, the instance has the address of {@link markerOf} on its loopback. */
  readonly addresses: readonly string[];
  /** Addresses of another family than the first ones: they move along, but are not in the advert. */
  readonly furtherAddresses: readonly string[];
}

/** Where keepalived's notifications write each instance's state: a file a name, MASTER, BACKUP or FAULT. */
export const STATE_DIRECTORY = "/run/cdktf-ha-vrrp";
/** A file for each tracked unit: 0 while it is up, 1 while it is down. */
export const UNIT_DIRECTORY = "/run/cdktf-ha-vrrp-units";
export const SCRIPT_USER = "keepalived_script";
export const NOTIFY_SCRIPT = "/usr/local/lib/cdktf-ha/vrrp-notify";

export function renderKeepalivedConf(model: KeepalivedModel): string {
  const lines = [
    "# Rendered by cdktf-ha-clusters. A change by hand is kept aside and replaced at the next apply.",
    "global_defs {",
    `  router_id ${model.node}`,
    "  # version 2 rounds intervals below a second up",
    "  vrrp_version 3",
    "  enable_script_security",
    `  script_user ${SCRIPT_USER}`,
    "  # a switch or a neighbour that missed the first announcement hears it again",
    "  vrrp_garp_master_delay 1",
    "  vrrp_garp_master_refresh 30",
    "  # a busy machine must not miss its adverts: keepalived raises its own priority when it is scheduled late",
    "  max_auto_priority 50",
    "}",
    ...model.units.flatMap((unit) => [
      "",
      `track_file ${unitName(unit)} {`,
      `  file ${UNIT_DIRECTORY}/${unit}`,
      "  # anything but 0 is FAULT at once",
      "  weight 0",
      "  init_file 1",
      "}",
    ]),
    ...model.processes.flatMap((process) => [
      "",
      `vrrp_track_process ${process} {`,
      `  process ${process}`,
      "  # no weight: without the process the node is in FAULT at once",
      "}",
    ]),
    ...model.scripts.flatMap(({ name, command, interval, fall }) => [
      "",
      `vrrp_script ${name} {`,
      `  script "${command}"`,
      `  interval ${interval}`,
      `  timeout ${interval}`,
      `  fall ${fall}`,
      "  rise 1",
      "}",
    ]),
    ...model.instances.flatMap((instance) => ["", ...instanceLines(model, instance)]),
    "",
  ];
  return lines.join("\n");
}

function instanceLines(model: KeepalivedModel, instance: VrrpInstance): string[] {
  // of several addresses of IPv6 the newest would become the sender of what this machine asks of others, whose firewalls know its own one
  const onInterface = (address: string): string =>
    `${address} dev ${model.interface}${address.includes(":") ? " preferred_lft 0" : ""}`;
  const block = (name: string, content: readonly string[]): string[] =>
    content.length ? [`  ${name} {`, ...content.map((line) => `    ${line}`), "  }"] : [];
  return [
    `vrrp_instance ${instance.name} {`,
    "  # every node begins as BACKUP: who serves is settled by who is alive, not by who boots",
    "  state BACKUP",
    `  interface ${model.interface}`,
    `  virtual_router_id ${instance.virtualRouterId}`,
    `  priority ${instance.priority}`,
    `  advert_int ${instance.advertInterval}`,
    ...(instance.preempt
      ? instance.preemptDelay
        ? [`  preempt_delay ${instance.preemptDelay}`]
        : []
      : ["  nopreempt"]),
    // keepalived takes them for a mistake where there are no peers
    ...(model.peerAddresses.length ? [`  unicast_src_ip ${model.sourceAddress}`, "  check_unicast_src"] : []),
    ...block("unicast_peer", model.peerAddresses),
    ...block(
      "virtual_ipaddress",
      instance.addresses.length
        ? instance.addresses.map(onInterface)
        : [`${markerOf(instance)} dev lo scope host`],
    ),
    ...block("virtual_ipaddress_excluded", instance.furtherAddresses.map(onInterface)),
    ...block("track_file", model.units.map(unitName)),
    ...block("track_process", model.processes),
    ...block(
      "track_script",
      model.scripts.map(({ name }) => name),
    ),
    `  notify ${NOTIFY_SCRIPT}`,
    "}",
  ];
}

/**
 * VRRP version 3 has no advert without an address, and keepalived does not start without one. Where the machines
 * themselves never see the address that moves (an elastic one), this stands for it: of a link-local block that is
 * reserved (RFC 3927), so nobody's, and not on any network.
 */
export function markerOf({ virtualRouterId }: Pick<VrrpInstance, "virtualRouterId">): string {
  return `169.254.255.${virtualRouterId}/32`;
}

function unitName(unit: string): string {
  return unit.replace(/\.service$/, "");
}
