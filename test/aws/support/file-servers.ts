import { Peer, Secret, VirtualIp, type NodeProps } from "cdktf-ha-clusters";
import type { TerraformStack } from "cdktf";
import type { Lab } from "../../../machines/lab";
import { DrbdNfsPair } from "../../../lib/drbd-nfs-pair/drbd-nfs-pair";
import { Fencing } from "../../../lib/drbd-nfs-pair/fencing";
import { platformOf, type Network } from "./site";

export const ADDRESS = "10.99.0.90";
/** In the VPC, and none of the stack's. */
export const CLIENT = "10.77.1.31";
export const NODES = { "nfs-1": "10.77.1.71", "nfs-2": "10.77.2.72", "vote-1": "10.77.3.73" } as const;
export type Node = "nfs-1" | "nfs-2";
export const SECRET = "the-pairs-own-secret-0123";

export interface FileServersProps {
  readonly exports: readonly string[];
  readonly nodes?: Partial<Record<Node, NodeProps>>;
  /** Counted up with a new secret. */
  readonly secretVersion?: string;
}

/** Two servers and the third vote, each in a zone of its own. */
export const fileServers =
  (lab: Lab, network: Network, { exports: names, nodes = {}, secretVersion: version }: FileServersProps) =>
  (stack: TerraformStack): void => {
    const node = (name: Node): NodeProps => ({ privateAddress: NODES[name], ...nodes[name] });
    new DrbdNfsPair(stack, "files", {
      platform: platformOf(stack, lab, network),
      nodes: { "nfs-1": node("nfs-1"), "nfs-2": node("nfs-2") },
      quorum: { "vote-1": { zone: "c", privateAddress: NODES["vote-1"] } },
      fencing: Fencing.aws(),
      virtualIp: VirtualIp.routeTable(ADDRESS, { routeTableIds: [network.routeTableId] }),
      dataVolume: { sizeGiB: 1, protected: false, finalSnapshot: false },
      secret: Secret.awsSecretsManager("files/pair", { version }),
      exports: names.map((name) => ({ name, clients: [Peer.cidr(`${CLIENT}/32`)] })),
    });
  };
