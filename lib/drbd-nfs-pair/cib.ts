import { CLIENTS_AGENT, MINOR, SERVER_AGENT } from "./layout";
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
  /** Seconds after which a write to the volume that has not ended makes the node one that is switched off. */
  readonly writeWithin: number;
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
      "stonith-enabled": String(fences(model)),
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
      operations: usual,
      monitors: [{ interval: whole(1 / 3), timeout: seconds(1) }],
    }),
    ...nfsServer(model, whole, seconds),
    // the last that clients see to come and the first to go: they see silence, never a server without their export
    ...virtualIp(model.virtualIp, whole, seconds),
    ...primitive("      ", "clients", CLIENTS_AGENT, {
      parameters: { ip: model.virtualIp.address, state: model.nfsState },
      operations: usual,
      monitors: [{ interval: whole(1 / 6), timeout: seconds(1) }],
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
      // a node that switches itself off is one that has failed until it has done so
      "failure-timeout": `${Math.max(120, (model.offAfter ?? 0) + 60)}s`,
    }),
    "  </rsc_defaults>",
    ...(model.alertAgent
      ? ["  <alerts>", `    <alert id="${OURS}alert" path="${model.alertAgent}"/>`, "  </alerts>"]
      : []),
    "</configuration>",
    "",
  ].join("\n");
}

/** Can a node be switched off? */
function fences({ fencing, offAfter }: Pick<CibModel, "fencing" | "offAfter">): boolean {
  return fencing.length > 0 || offAfter !== undefined;
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
      operations: { start: seconds(1), stop: seconds(1) },
      monitors: [{ interval: whole(1 / 6), timeout: seconds(1) }],
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
    },
    monitors: [{ interval: claimed ? whole(1 / 3) : whole(1 / 6), timeout: seconds(1) }],
  });
}

function nfsServer({ nfsState, writeWithin, ...model }: CibModel, whole: Whole, seconds: Seconds): string[] {
  return primitive("      ", "nfsd", SERVER_AGENT, {
    parameters: { state: nfsState },
    operations: { start: seconds(1), stop: seconds(1) },
    monitors: [
      { interval: whole(1 / 3), timeout: seconds(1) },
      {
        interval: whole(1 / 2),
        // it waits for no disk: a node that is only busy is given time
        timeout: seconds(4),
        depth: "10",
        parameters: { drbd_minor: String(MINOR), write_within: String(writeWithin) },
        // a stop would wait for the volume as well; where nobody is switched off it would only take the address away
        onFail: fences(model) ? "fence" : "ignore",
      },
    ],
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
      },
      monitors: [
        { interval: whole(1 / 6), timeout: seconds(1), role: "Promoted" },
        { interval: whole(1 / 5), timeout: seconds(1), role: "Unpromoted" },
      ],
    }),
    "    </clone>",
  ];
}

function fenceDevice({ name, agent, nodes, parameters }: FenceDevice): string[] {
  return primitive("    ", name, `stonith:${agent}`, {
    parameters: { ...parameters, pcmk_host_list: nodes.join(",") },
    operations: {},
    monitors: [{ interval: 60, timeout: "60s" }],
    // however often it has failed: who is not allowed to have the device may not use it either, and nobody takes over
    meta: { "migration-threshold": "INFINITY" },
  });
}

interface Primitive {
  readonly meta?: Readonly<Record<string, string>>;
  readonly parameters: Readonly<Record<string, string>>;
  /** In which time it has to be done. */
  readonly operations: Readonly<Record<string, string>>;
  /** Those of one agent must differ in their interval. */
  readonly monitors: readonly Monitor[];
}

interface Monitor {
  /** Seconds. */
  readonly interval: number;
  readonly timeout: string;
  readonly role?: "Promoted" | "Unpromoted";
  /** How closely the agent looks (`OCF_CHECK_LEVEL`). */
  readonly depth?: string;
  /** Besides those of the resource. @default none */
  readonly parameters?: Readonly<Record<string, string>>;
  /** @default restart - Pacemaker's own */
  readonly onFail?: "fence" | "ignore";
}

function primitive(
  indent: string,
  name: string,
  agent: string,
  { parameters, operations, monitors, meta }: Primitive,
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
    ...Object.entries(operations).map(
      ([name, timeout]) =>
        `${indent}    <op id="${id}-${name}" name="${name}" interval="0s" timeout="${timeout}"/>`,
    ),
    ...monitors.flatMap((monitor) => monitorOf(id, `${indent}    `, monitor)),
    `${indent}  </operations>`,
    `${indent}</primitive>`,
  ];
}

function monitorOf(
  id: string,
  indent: string,
  { interval, timeout, role, depth, parameters, onFail }: Monitor,
): string[] {
  const name = [`${id}-monitor`, role?.toLowerCase(), depth].filter((part) => part !== undefined).join("-");
  const start = `<op id="${name}" name="monitor" interval="${interval}s" timeout="${timeout}"`;
  const more = `${role === undefined ? "" : ` role="${role}"`}${onFail === undefined ? "" : ` on-fail="${onFail}"`}`;
  if (depth === undefined) return [`${indent}${start}${more}/>`];
  return [
    `${indent}${start}${more}>`,
    ...settings("instance_attributes", `${name.slice(OURS.length)}-parameters`, `${indent}  `, {
      OCF_CHECK_LEVEL: depth,
      ...parameters,
    }),
    `${indent}</op>`,
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
