import type { Construct } from "constructs";
import { refuse } from "../problem";
import type { ServiceFile } from "../push/service";
import type { Secret } from "../secret/secret";
import { passwordFiles, passwordScript } from "./fence-method";
import type { ManagementBoard } from "./management-board";
import { NodeFencing } from "./node-fencing";

/** A management board that speaks Redfish. */
export interface RedfishBoard extends ManagementBoard {
  /**
   * Is the board's certificate verified, for `address` and by the authorities that the node's system trusts? Without, the password goes to whoever
   * answers there, and who answers can say that a node is off.
   * @default false - boards come with a certificate that they made themselves
   */
  readonly verifyCertificate?: boolean;
  /**
   * The node itself, at a board of several (`/redfish/v1/Systems/Blade3`). The agent would take the last one otherwise.
   * @default - the only one that the board has
   */
  readonly systemsUri?: string;
}

/** By ClusterLabs' fence_redfish. */
export class RedfishFencing extends NodeFencing<RedfishBoard> {
  constructor(boards: Readonly<Record<string, RedfishBoard>>) {
    super("fence_redfish", "board", boards);
  }

  override check(scope: Construct, nodes: readonly string[]): void {
    super.check(scope, nodes);
    const [one, other] = nodes.map((node) => this.switches[node]!);
    if (one!.address !== other!.address || (one!.systemsUri && other!.systemsUri)) return;
    refuse(scope, {
      code: "no-fencing",
      what: `both nodes are systems of the board ${one!.address}, and one has no 'systemsUri'`,
      allowed:
        "each node's own: the agent takes the board's last one otherwise, and its peer goes on writing",
      fix: 'systemsUri: "/redfish/v1/Systems/..." of each',
    });
  }

  protected place({ address, systemsUri = "" }: RedfishBoard): string {
    return address + systemsUri;
  }

  protected secretsOf({ password }: RedfishBoard): readonly Secret[] {
    return [password];
  }

  protected parameters(
    node: string,
    { address, user, verifyCertificate, systemsUri }: RedfishBoard,
  ): Record<string, string> {
    return {
      ip: address,
      username: user,
      password_script: passwordScript(node),
      // to the agent ssl_insecure=0 is the same as 1: it only looks whether it is said
      ...(verifyCertificate ? {} : { ssl_insecure: "1" }),
      ...(systemsUri === undefined ? {} : { systems_uri: systemsUri }),
    };
  }

  protected filesFor(node: string, { password }: RedfishBoard): ServiceFile[] {
    return passwordFiles(node, password);
  }
}
