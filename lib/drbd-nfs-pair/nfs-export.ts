import { Construct } from "constructs";
import { asPeer, Connections, singleNetwork, type Connectable } from "../firewall/connections";
import type { Peer } from "../firewall/peer";
import { checkRange, refuse } from "../problem";
import { Rollout, RolloutOrder } from "../push/rollout";
import type { DrbdNfsPair } from "./drbd-nfs-pair";
import { fsidOf, type ExportModel, type Squash } from "./exports-file";
import { EXPORTS, NFS_PORT } from "./layout";
import { MountService } from "./mount-service";

export interface NfsExportProps {
  /** Name of its directory: letters, digits, dashes and underscores. */
  readonly name: string;
  /** Who may mount it, besides machines that it is mounted on by {@link NfsExport.mountOn}. @default nobody else */
  readonly clients?: readonly (Connectable | Peer)[];
  /** @default false */
  readonly readOnly?: boolean;
  /**
   * Whose files a client's users own: `root` keeps a client's root from being the server's, `all` makes everybody
   * `anonymous`, `none` believes every client.
   * @default "root"
   */
  readonly squash?: Squash;
  /** User and group id of whoever is squashed. @default - nobody's (65534) */
  readonly anonymous?: { readonly user: number; readonly group: number };
  /**
   * GiB that all files below it may take; a client that writes more is told that the disk is full, and `df` there shows this size. Needs XFS.
   * The first one of a pair that runs mounts the volume anew, a gap like a switchover's, and XFS counts all files meanwhile: where there are millions
   * give it a longer `operationTimeout`.
   * @default - as much as the volume has
   */
  readonly quotaGiB?: number;
  /** Number or UUID by which clients know the file system. @default - a UUID that follows from the name */
  readonly fsid?: string;
}

/** A directory of the pair that clients mount. */
export class NfsExport {
  readonly name: string;
  /** On the server, and for whoever mounts it by hand. */
  readonly path: string;
  readonly fsid: string;
  private readonly clients: (Connections | Peer)[] = [];

  /** @internal made by {@link DrbdNfsPair} */
  constructor(
    private readonly pair: DrbdNfsPair,
    private readonly props: NfsExportProps,
  ) {
    const { name } = props;
    if (!/^[A-Za-z0-9_][A-Za-z0-9_-]{0,63}$/.test(name)) {
      refuse(pair, {
        code: "bad-name",
        what: `export '${name}'`,
        allowed: "letters, digits, dashes and underscores: it becomes the name of a directory",
        fix: "choose such a name",
      });
    }
    this.name = name;
    this.path = `${EXPORTS}/${name}`;
    const { fsid } = props;
    if (fsid !== undefined && !/^([1-9][0-9]{0,8}|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12})$/.test(fsid)) {
      refuse(pair, {
        code: "bad-fsid",
        what: `'fsid' of '${name}' is '${fsid}'`,
        allowed: "a number from 1 on, or a UUID in small letters; 0 would make it the root of everything",
        fix: "leave it out: one follows from the name",
      });
    }
    checkRange(pair, `quotaGiB' of '${name}`, props.quotaGiB, 0.01, 1_000_000, "GiB");
    this.fsid = props.fsid ?? fsidOf(name);
    for (const client of props.clients ?? []) this.allowFrom(client);
  }

  /** What clients connect to: the address that moves. */
  get address(): string {
    return this.pair.address;
  }

  /** Lets somebody mount it. */
  allowFrom(client: Connectable | Peer): void {
    const peer = asPeer(client);
    if (!(peer instanceof Connections) && peer.cidrs.some((cidr) => cidr.endsWith("/0"))) {
      refuse(this.pair, {
        code: "export-to-everybody",
        what: `export '${this.name}' is for anyone`,
        allowed: "the networks of those who need it: NFS believes what a client says of its users",
        fix: 'clients: [apps, Peer.cidr("10.0.1.0/24")]',
      });
    }
    if (this.clients.includes(peer)) return;
    this.clients.push(peer);
    this.pair.connections.allowFrom(peer);
  }

  /**
   * Mounts it on the machines of a group, at boot too.
   * @param where absolute path, of letters, digits, dots and underscores: a unit of systemd's is called after it
   */
  mountOn(group: Connectable, where: string): NfsMount {
    this.allowFrom(group);
    return new NfsMount(this, group, where, this.pair, this.props.readOnly ?? false);
  }

  /** For the pair's files. */
  model(): ExportModel {
    const { readOnly = false, squash = "root", anonymous, quotaGiB } = this.props;
    const clients = this.clients.flatMap((peer) =>
      peer instanceof Connections
        ? peer.machines.map(({ privateAddress }) => singleNetwork(privateAddress))
        : peer.cidrs,
    );
    return {
      path: this.path,
      fsid: this.fsid,
      readOnly,
      squash,
      anonymous,
      quotaGiB,
      clients: [...new Set(clients)].sort(),
    };
  }
}

/** An export on the machines that use it. */
export class NfsMount extends Construct {
  /** What whoever reads or writes there depends on. */
  readonly ready: Rollout["last"];

  /** @internal made by {@link NfsExport.mountOn} */
  constructor(
    readonly source: NfsExport,
    group: Connectable,
    readonly where: string,
    pair: DrbdNfsPair,
    readOnly: boolean,
  ) {
    super(group.connections.scope, `mount-${source.name}`);
    if (!/^(\/[A-Za-z0-9_][A-Za-z0-9_.]*)+$/.test(where)) {
      refuse(this, {
        code: "bad-path",
        what: `'${where}' as the place of '${source.name}'`,
        allowed:
          "an absolute path of letters, digits, dots and underscores: a unit of systemd's is called after it",
        fix: "choose such a path, like /srv/assets",
      });
    }
    const service = new MountService(
      () => ({ server: source.address, path: source.path, where, readOnly }),
      where,
    );
    const purpose = `${pair.node.id} has moved`;
    for (const machine of group.connections.machines)
      machine.follows({ address: source.address, port: NFS_PORT, purpose });
    this.ready = new Rollout(this, "rollout", {
      nodes: group.connections.machines.map((machine) => ({ machine, services: [service] })),
      order: RolloutOrder.allAtOnce(),
      dependsOn: pair.ready,
    }).last;
  }
}
