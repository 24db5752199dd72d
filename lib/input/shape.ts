/** What kind of value a setting takes: as much of its TypeScript type as can be seen of a value at run time. */
export type Shape =
  | "text"
  | "number"
  /** true or false */
  | "flag"
  | "function"
  | "anything"
  /** Exactly this one. */
  | readonly ["word", string | number | boolean]
  | readonly ["list", Shape]
  /** By names of the user's own. */
  | readonly ["record", Shape]
  /** Settings without a name of their own. */
  | readonly ["settings", Settings]
  /** One of {@link Shapes.things}. */
  | readonly ["is", string]
  | readonly ["or", ...Shape[]];

/** By name; a name that ends in a question mark may be missing, and one that begins with three dots is all the rest. */
export type Settings = Readonly<Record<string, Shape>>;

/** An object with settings; or something with a behaviour of its own, which has these members and maybe more. */
export interface Thing {
  readonly settings?: Settings;
  readonly members?: readonly string[];
}

export interface Shapes {
  /** `Peer.cidr` or `CassandraRing#credentials`, with its parameters in their order. */
  readonly calls: Readonly<Record<string, Settings>>;
  readonly things: Readonly<Record<string, Thing>>;
}
