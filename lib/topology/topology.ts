/** A cluster as plain data: what analyses and pictures read. Nothing of Terraform. */
export interface ClusterTopology {
  /** Class name of the construct. */
  readonly kind: string;
  readonly path: string;
  readonly members: readonly TopologyMember[];
  /** Addresses that move between the members. */
  readonly addresses: readonly { readonly group: string; readonly address: string; readonly mode: string }[];
  /** What the cluster needs of others to work. */
  readonly needs: readonly TopologyNeed[];
  /** How many of its own members may fail at once. */
  readonly survives: { readonly failures: number; readonly of: "node" };
  /** How long things take by themselves. */
  readonly timers: readonly TopologyTimer[];
}

export interface TopologyMember {
  readonly name: string;
  /** Where it fails together with others. */
  readonly zone?: string;
  readonly roles: readonly string[];
}

export interface TopologyNeed {
  readonly name: string;
  /** Names of the members of other clusters, or of servers outside. */
  readonly members: readonly string[];
  /** As many must be alive. */
  readonly atLeast: number;
}

export interface TopologyTimer {
  readonly name: string;
  readonly seconds: number;
  /** The arithmetic. */
  readonly because: string;
}
