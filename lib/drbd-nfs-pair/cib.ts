import { CLIENTS_AGENT, SERVER_AGENT } from "./layout";
import { ADDRESS_AGENT } from "./moving-address";

/** Everything that Pacemaker is told, in its own words. */
export interface CibModel {
  readonly nodes: readonly string[];
  readonly fencing: readonly FenceDevice[];
  /** Seconds after which a node that is not heard has switched itself off, where nobody else does. */
  readonly offAfter?: number;
  readonly drbdResource: string;
  readonly fileSystem: MountModel;
  readonly nfsState: string;
  /** Who can be reached from a node says whether its clients can reach it. */
  readonly pingHosts: readonly string[];
  readonly virtualIp: {
    readonly address: string;
    /** Nothing where the machine itself does not see the address. */
    readonly prefix?: number;
    /** Does a cloud's API lead it to the node that serves? */
    readonly claimed: boolean;
  };
  /** Seconds that the node which serves is ahead, should each node be about to switch the other one off. */
  readonly fenceDelay: number;
  /** Seconds in which an agent has to be done with what it is asked for. */
  readonly operationTimeout: number;
  /** Program that is told of whatever happens. */
  readonly alertAgent?: string;
}

/** Where the volume is, on whoever serves. */
export interface MountModel {
  readonly device: string;
  readonly directory: string;
  readonly type: string;
  readonly options: string;
}

/** A way to switch nodes off. */
export interface FenceDevice {
  readonly name: string;
  /** Program below /usr/sbin, without its path. */
  readonly agent: string;
  /** Whom it can switch off. */
  readonly nodes: readonly string[];
  readonly parameters: Readonly<Record<string, string>>;
}

/** Ids of everything of ours begin so: what Pacemaker's users and DRBD's handlers add by themselves stays as it is. */
export const OURS = "ha-";

/**
 * The `configuration` of Pacemaker's information base: pure. Merged into the living one by on-machine/merge-cib.sh, as one
 * change: what is as it was goes on running.
 */
export function renderCib(model: CibModel): string {
  const whole: Whole = (factor) => Math.ceil(model.operationTimeout * factor);
  const seconds: Seconds = (factor) => `${whole(factor)}s`;
  const usual = { start: seconds(1), stop: seconds(1) };
  return [
    "<!-- Managed by cdktf-ha-clusters. -->",
    "<configuration>",
    "  <crm_config>",
    ...settings("cluster_property_set", "properties", "    ", {
      "stonith-enabled": String(model.fencing.length > 0 || model.offAfter !== undefined),
      ...(model.offAfter === undefined ? {} : { "stonith-watchdog-timeout": `${model.offAfter}s` }),
      "stonith-action": "reboot",
      // a node that switches itself off has the time for it
      "stonith-timeout": `${Math.max(whole(1.5), (model.offAfter ?? 0) + 30)}s`,
      "no-quorum-policy": "stop",
      // a start that fails once is tried again: where the other node is dead there is nowhere better to be
      "start-failure-is-fatal": "false",
      // a device that was away for ten attempts is asked again as soon as it answers
      "stonith-max-attempts": "INFINITY",
      ...(model.fenceDelay > 0 ? { "priority-fencing-delay": `${model.fenceDelay}s` } : {}),
    }),
    "  </crm_config>",
    "  <resources>",
    ...model.fencing.flatMap(fenceDevice),
    ...ping(model, whole, seconds),
    ...drbd(model, whole, seconds),
    `    <group id="${OURS}serve">`,
    ...(model.fenceDelay > 0 ? settings("meta_attributes", "serve-meta", "      ", { priority: "1" }) : []),
    ...primitive("      ", "fs", "ocf:heartbeat:Filesystem", {
      parameters: {
        device: model.fileSystem.device,
        directory: model.fileSystem.directory,
        fstype: model.fileSystem.type,
        options: model.fileSystem.options,
      },
      operations: { ...usual, monitor: [whole(1 / 3), seconds(1)] },
    }),
    ...primitive("      ", "nfsd", SERVER_AGENT, {
      parameters: { state: model.nfsState },
      operations: { ...usual, monitor: [whole(1 / 3), seconds(1)] },
    }),
    // the last that clients see to come and the first to go: they see silence, never a server without their export
    ...virtualIp(model.virtualIp, whole, seconds),
    ...primitive("      ", "clients", CLIENTS_AGENT, {
      parameters: { ip: model.virtualIp.address, state: model.nfsState },
      operations: { ...usual, monitor: [whole(1 / 6), seconds(1)] },
      // whatever is the matter with it, the service stays
      meta: { "migration-threshold": "INFINITY" },
    }),
    "    </group>",
    "  </resources>",
    "  <constraints>",
    // who is to be switched off is not the one to do it
    ...model.fencing.flatMap(({ name, nodes }) =>
      nodes.length === 1
        ? [
            `    <rsc_location id="${OURS}${name}-elsewhere" rsc="${OURS}${name}" node="${nodes[0]!}" score="-INFINITY"/>`,
          ]
        : [],
    ),
    ...(model.pingHosts.length > 0 ? REACHABLE : []),
    `    <rsc_colocation id="${OURS}serve-with-primary" rsc="${OURS}serve" with-rsc="${OURS}drbd-clone" with-rsc-role="Promoted" score="INFINITY"/>`,
    `    <rsc_order id="${OURS}promote-before-serve" first="${OURS}drbd-clone" first-action="promote" then="${OURS}serve" then-action="start" kind="Mandatory"/>`,
    "  </constraints>",
    "  <rsc_defaults>",
    ...settings("meta_attributes", "resource-defaults", "    ", {
      // Each move is a gap: who serves well goes on serving. It counts eight times, for each of the group's four and as much again for the
      // volume that they are with: 800, less than one host that only the other node reaches.
      "resource-stickiness": "100",
      "migration-threshold": "3",
      "failure-timeout": "120s",
    }),
    "  </rsc_defaults>",
    ...(model.alertAgent
      ? ["  <alerts>", `    <alert id="${OURS}alert" path="${model.alertAgent}"/>`, "  </alerts>"]
      : []),
    "</configuration>",
    "",
  ].join("\n");
}

/** So many times the operation timeout: where machines are slow, they are also asked less often. */
type Whole = (factor: number) => number;
type Seconds = (factor: number) => string;

/** Attribute of a node: 1000 for each host that it reaches. */
const PING = "ha-ping";

/** More than eight times the stickiness, less than the difference between a good copy and a stale one. */
const REACHABLE = [
  `    <rsc_location id="${OURS}reachable" rsc="${OURS}drbd-clone">`,
  `      <rule id="${OURS}reachable-rule" role="Promoted" score-attribute="${PING}">`,
  `        <expression id="${OURS}reachable-known" attribute="${PING}" operation="defined"/>`,
  "      </rule>",
  "    </rsc_location>",
];

function ping({ pingHosts }: CibModel, whole: Whole, seconds: Seconds): string[] {
  if (pingHosts.length === 0) return [];
  return [
    `    <clone id="${OURS}ping-clone">`,
    ...primitive("      ", "ping", "ocf:pacemaker:ping", {
      parameters: {
        name: PING,
        host_list: pingHosts.join(" "),
        multiplier: "1000",
        attempts: "3",
        timeout: "2",
        // both nodes' answers are looked at together, though they ask at different moments and wait for no answer: a host that fails moves nothing
        dampen: `${whole(1 / 6) + 10}s`,
      },
      operations: { start: seconds(1), stop: seconds(1), monitor: [whole(1 / 6), seconds(1)] },
    }),
    "    </clone>",
  ];
}

function virtualIp(
  { address, prefix, claimed }: CibModel["virtualIp"],
  whole: Whole,
  seconds: Seconds,
): string[] {
  return primitive("      ", "vip", claimed ? ADDRESS_AGENT : "ocf:heartbeat:IPaddr2", {
    parameters: { ip: address, ...(prefix === undefined ? {} : { cidr_netmask: String(prefix) }) },
    operations: {
      // an API that is away for a minute is tried again
      start: seconds(claimed ? 4 : 1),
      stop: seconds(1),
      monitor: [claimed ? whole(1 / 3) : whole(1 / 6), seconds(1)],
    },
  });
}

function drbd({ drbdResource }: CibModel, whole: Whole, seconds: Seconds): string[] {
  return [
    `    <clone id="${OURS}drbd-clone">`,
    ...settings("meta_attributes", "drbd-clone-meta", "      ", {
      promotable: "true",
      "promoted-max": "1",
      "promoted-node-max": "1",
      "clone-max": "2",
      "clone-node-max": "1",
      notify: "true",
      interleave: "true",
    }),
    ...primitive("      ", "drbd", "ocf:linbit:drbd", {
      parameters: { drbd_resource: drbdResource, unfence_if_all_uptodate: "true" },
      operations: {
        start: seconds(4),
        promote: seconds(1.5),
        demote: seconds(1.5),
        stop: seconds(2),
        // two monitors of one agent must differ in their interval
        "monitor Promoted": [whole(1 / 6), seconds(1)],
        "monitor Unpromoted": [whole(1 / 5), seconds(1)],
      },
    }),
    "    </clone>",
  ];
}

function fenceDevice({ name, agent, nodes, parameters }: FenceDevice): string[] {
  return primitive("    ", name, `stonith:${agent}`, {
    parameters: { ...parameters, pcmk_host_list: nodes.join(",") },
    operations: { monitor: [60, "60s"] },
    // however often it has failed: who is not allowed to have the device may not use it either, and nobody takes over
    meta: { "migration-threshold": "INFINITY" },
  });
}

interface Primitive {
  readonly meta?: Readonly<Record<string, string>>;
  readonly parameters: Readonly<Record<string, string>>;
  /** Seconds in which it has to be done; a monitor's interval before. */
  readonly operations: Readonly<Record<string, string | readonly [number, string]>>;
}

function primitive(
  indent: string,
  name: string,
  agent: string,
  { parameters, operations, meta }: Primitive,
): string[] {
  const [standard, provider, type] = agent.split(":");
  const id = `${OURS}${name}`;
  const kind =
    type === undefined
      ? `class="${standard}" type="${provider}"`
      : `class="${standard}" provider="${provider}" type="${type}"`;
  return [
    `${indent}<primitive id="${id}" ${kind}>`,
    ...(meta ? settings("meta_attributes", `${name}-meta`, `${indent}  `, meta) : []),
    ...settings("instance_attributes", `${name}-parameters`, `${indent}  `, parameters),
    `${indent}  <operations>`,
    ...Object.entries(operations).map(([key, value]) => {
      const [operation, role] = key.split(" ");
      const [interval, timeout] = typeof value === "string" ? [0, value] : value;
      const op = `${id}-${key.replace(" ", "-").toLowerCase()}`;
      return `${indent}    <op id="${op}" name="${operation}" interval="${interval}s" timeout="${timeout}"${role === undefined ? "" : ` role="${role}"`}/>`;
    }),
    `${indent}  </operations>`,
    `${indent}</primitive>`,
  ];
}

function settings(
  element: string,
  name: string,
  indent: string,
  values: Readonly<Record<string, string>>,
): string[] {
  const id = `${OURS}${name}`;
  return [
    `${indent}<${element} id="${id}">`,
    ...Object.entries(values).map(
      ([key, value]) => `${indent}  <nvpair id="${id}-${key}" name="${key}" value="${quoted(value)}"/>`,
    ),
    `${indent}</${element}>`,
  ];
}

function quoted(text: string): string {
  return text
    .replaceAll("&", "&amp;")
    .replaceAll("<", "&lt;")
    .replaceAll(">", "&gt;")
    .replaceAll('"', "&quot;");
}
