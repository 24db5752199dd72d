export interface CorosyncModel {
  readonly cluster: string;
  /** In an order that stays: a node's number is its place. */
  readonly nodes: readonly {
    readonly name: string;
    /** One address for each link. */
    readonly addresses: readonly string[];
  }[];
  /** Of the first link; each further one has the next port. */
  readonly port: number;
  /** Milliseconds without the token after which a node counts as lost. */
  readonly token: number;
  /** Where the third vote is. */
  readonly quorumHost: string;
  readonly quorumPort: number;
  /** Status 0 on the node that has the service: it gets the vote when the two halves are equal. */
  readonly keeper: string;
}

/** Seconds of silence after which a node counts as lost, unless told otherwise. */
export const TOKEN = 3;

/** Milliseconds: the quorum host takes a node for dead after 1.2 times of it, the other node after 2.2 times of the token: about then. */
const patience = (token: number): number => Math.round((token * 5) / 3);

/** Seconds for which a change of the membership may wait for the quorum host, at a token of so many seconds. */
export const syncTimeout = (token: number): number => Math.ceil((3 * patience(1000 * token)) / 1000);

/**
 * The pair's membership: pure. There is no `two_node`, in which each half alone would be a quorum: with the device's vote
 * there are three, and two of them are one.
 */
export function renderCorosyncConf(model: CorosyncModel): string {
  const links = model.nodes[0]!.addresses.length;
  return [
    "# Managed by cdktf-ha-clusters.",
    "totem {",
    "  version: 2",
    `  cluster_name: ${model.cluster}`,
    "  transport: knet",
    "  crypto_cipher: aes256",
    "  crypto_hash: sha256",
    `  token: ${model.token}`,
    ...(links > 1
      ? ["  # the second link carries everything as soon as the first one is silent", "  link_mode: passive"]
      : []),
    ...Array.from({ length: links }, (_, link) => [
      "  interface {",
      `    linknumber: ${link}`,
      `    mcastport: ${model.port + link}`,
      "  }",
    ]).flat(),
    "}",
    "nodelist {",
    ...model.nodes.flatMap(({ name, addresses }, index) => [
      "  node {",
      `    name: ${name}`,
      `    nodeid: ${index + 1}`,
      ...addresses.map((address, link) => `    ring${link}_addr: ${address}`),
      "  }",
    ]),
    "}",
    "quorum {",
    "  provider: corosync_votequorum",
    "  device {",
    "    model: net",
    "    votes: 1",
    "    # how long the quorum host may not have heard of a node that is dead",
    `    timeout: ${patience(model.token)}`,
    `    sync_timeout: ${3 * patience(model.token)}`,
    "    net {",
    `      host: ${model.quorumHost}`,
    `      port: ${model.quorumPort}`,
    "      algorithm: ffsplit",
    "      tls: off",
    "    }",
    "    heuristics {",
    "      mode: sync",
    "      timeout: 3000",
    "      sync_timeout: 5000",
    `      exec_keeper: ${model.keeper}`,
    "    }",
    "  }",
    "}",
    "logging {",
    "  to_syslog: yes",
    "}",
    "",
  ].join("\n");
}
