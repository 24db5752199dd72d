import { bracketed } from "../net";
import { PROGRAMS } from "./layout";

/** What a commit waits for: a copy on the other node's disk, in its memory, or in this node's send buffer. */
export type ReplicationProtocol = "A" | "B" | "C";

/** How DRBD's modules differ: in 9, `fencing` belongs to the connection and the peer is let back in by its own handler. */
export type DrbdVersion = "8.4" | "9";

export interface DrbdResourceModel {
  readonly version: DrbdVersion;
  readonly name: string;
  readonly minor: number;
  readonly port: number;
  readonly nodes: readonly { readonly name: string; readonly address: string; readonly disk: string }[];
  readonly protocol: ReplicationProtocol;
  /** What both sides prove to know; as text between double quotes. */
  readonly secret: string;
  /** Seconds of silence after which the peer is pinged; a third of it for the answer. @default 3 */
  readonly silence?: number;
  /** MiB/s at most while a node catches up. */
  readonly resyncRate: number;
  /** Mbit/s of the link between the nodes. */
  readonly link: number;
  /** Device of DRBD's own notes; behind the data unless there is one. */
  readonly metaDisk?: string;
  /**
   * What a primary does that loses its peer: freezes writes until a power switch has answered for the peer, only notes that the
   * peer's copy is stale, or goes on alone without a word.
   */
  readonly fencing: "resource-and-stonith" | "resource-only" | "dont-care";
  /** Seconds that its handler waits for a peer to be off. @default 90 - DRBD's own */
  readonly fenceWithin?: number;
}

/** Seconds of silence until a ping, unless told otherwise. */
const SILENCE = 3;

/** Seconds: until an answer is missed, without a word until a ping, and until that one's answer is missed. */
function times(silence = SILENCE): { timeout: number; pingInterval: number; pingTimeout: number } {
  return { timeout: (2 * silence) / 3, pingInterval: silence, pingTimeout: silence / 3 };
}

/** Answers that may be missed while the peer is alive. DRBD's own. */
const KO_COUNT = 7;

/** Seconds for which a peer whose disk hangs can hold up the writes of a primary. */
export function heldByPeer(silence: number): number {
  return KO_COUNT * times(silence).timeout;
}

/** Seconds after which a dead peer has been missed, unless told otherwise. */
export const MISSED_AFTER = SILENCE + times().pingTimeout;

const HANDLERS = "/usr/lib/drbd";
/** Mbit/s: up to here DRBD's own buffers are large enough. */
const GIGABIT = 1000;

/**
 * One replicated device: pure. There is no `after-sb-*`: where the data differ in spite of fencing and the third vote, both
 * sides stop talking and keep what they have, until a person has decided.
 */
export function renderDrbdResource(model: DrbdResourceModel): string {
  const { version, name, minor, nodes } = model;
  const fencing = `    fencing ${model.fencing};`;
  const nine = version === "9";
  const { timeout, pingInterval, pingTimeout } = times(model.silence);
  const third = Math.ceil(model.resyncRate / 3);
  return [
    "# Managed by cdktf-ha-clusters.",
    `resource ${name} {`,
    `  device /dev/drbd${minor};`,
    `  meta-disk ${model.metaDisk ?? "internal"};`,
    "  net {",
    `    protocol ${model.protocol};`,
    "    cram-hmac-alg sha256;",
    `    shared-secret "${model.secret}";`,
    "    verify-alg sha256;",
    `    # a dead peer is missed after ${timeout} s without an answer, or ${pingInterval} s of silence and ${pingTimeout} s for the ping`,
    `    timeout ${10 * timeout};`,
    "    # one that is alive and does not write is dropped after so many times as long",
    `    ko-count ${KO_COUNT};`,
    `    connect-int ${pingInterval};`,
    `    ping-int ${pingInterval};`,
    `    ping-timeout ${10 * pingTimeout};`,
    ...(model.link > GIGABIT
      ? [
          "    # what is under way on a fast link, in pages of 4 KiB",
          "    max-buffers 16000;",
          "    max-epoch-size 16000;",
        ]
      : []),
    ...(nine ? [fencing] : []),
    "  }",
    "  disk {",
    "    # a disk that fails is let go, and the peer's copy is read and written over the network",
    "    on-io-error detach;",
    ...(nine ? [] : [fencing]),
    `    c-max-rate ${model.resyncRate}M;`,
    "    # a third of it while clients write (LINBIT's rule): DRBD's own 250 KiB/s would take days",
    `    resync-rate ${third}M;`,
    `    c-min-rate ${third}M;`,
    "    # what 8 ms of the link carry",
    `    c-fill-target ${model.link}k;`,
    "  }",
    "  handlers {",
    ...(model.fencing === "dont-care" ? [] : handlers(nine, model.fenceWithin)),
    `    split-brain "${PROGRAMS}/split-found.sh";`,
    ...Object.entries(TOLD).map(([handler, words]) => `    ${handler} "${PROGRAMS}/notify.sh ${words}";`),
    "  }",
    ...nodes.flatMap(({ name: node, address, disk }, index) => [
      `  on ${node} {`,
      ...(nine ? [`    node-id ${index};`] : []),
      `    disk ${disk};`,
      `    address ${address.includes(":") ? "ipv6 " : ""}${bracketed(address)}:${model.port};`,
      "  }",
    ]),
    "}",
    "",
  ].join("\n");
}

/** What a person has to know of; its kind, and in words. */
const TOLD: Readonly<Record<string, string>> = {
  "pri-lost-after-sb": "split 'this copy is given up while it is in use'",
  "out-of-sync": "out-of-sync 'the copies differ: journalctl --unit cdktf-ha-nfs-verify shows by how much'",
};

/**
 * They ask Pacemaker: who is cut off must not be promoted before it has caught up. What is forbidden so is allowed again as the copy is whole; and, where
 * Pacemaker was away at that moment, by its agent, which calls `unfence-peer`.
 */
function handlers(nine: boolean, fenceWithin?: number): string[] {
  const within = fenceWithin === undefined ? "" : ` --timeout ${fenceWithin}`;
  return nine
    ? [
        `    fence-peer "${PROGRAMS}/fence-peer.sh ${HANDLERS}/crm-fence-peer.9.sh${within}";`,
        `    unfence-peer "${HANDLERS}/crm-unfence-peer.9.sh";`,
      ]
    : [
        `    fence-peer "${PROGRAMS}/fence-peer.sh ${HANDLERS}/crm-fence-peer.sh${within}";`,
        `    after-resync-target "${HANDLERS}/crm-unfence-peer.sh";`,
        `    unfence-peer "${HANDLERS}/crm-unfence-peer.sh";`,
      ];
}

/** What holds for every resource: nobody outside is told that the module is in use. */
export function renderDrbdCommon(): string {
  return ["# Managed by cdktf-ha-clusters.", "global {", "  usage-count no;", "}", ""].join("\n");
}
