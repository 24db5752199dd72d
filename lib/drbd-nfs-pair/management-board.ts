import type { Secret } from "../secret/secret";

/** A machine's management board, which has power while the machine has none. */
export interface ManagementBoard {
  /** Address or name of the board, as the other node reaches it. */
  readonly address: string;
  /** For IPMI an operator suffices; for Redfish whoever may reset the system. */
  readonly user: string;
  readonly password: Secret;
}
