import type { Construct } from "constructs";
import { refuse } from "../problem";
import type { ServiceFile } from "../push/service";
import type { Secret } from "../secret/secret";
import type { FenceDevice } from "./cib";
import { FenceMethod, passwordFiles, passwordScript } from "./fence-method";

/** A machine's management board, which has power while the machine has none. */
export interface ManagementBoard {
  /** Address or name of the board, as the other node reaches it. */
  readonly address: string;
  readonly user: string;
  readonly password: Secret;
}

/** The other node's board is told to switch it off. */
export class BoardFencing extends FenceMethod {
  override readonly packages = [{ name: "fence-agents" }];

  constructor(
    private readonly agent: string,
    private readonly boards: Readonly<Record<string, ManagementBoard>>,
    private readonly parameters: Readonly<Record<string, string>>,
  ) {
    super();
  }

  check(scope: Construct, nodes: readonly string[]): void {
    for (const node of nodes) {
      if (this.boards[node]) continue;
      refuse(scope, {
        code: "no-fencing",
        what: `node '${node}' has no board that could switch it off`,
        allowed: "one for each node: a node that nobody can stop may go on writing",
        fix: `add '${node}' to the boards`,
      });
    }
    const stranger = Object.keys(this.boards).find((name) => !nodes.includes(name));
    if (stranger === undefined) return;
    refuse(scope, {
      code: "unknown-node",
      what: `a board is that of '${stranger}'`,
      allowed: nodes.join(", "),
      fix: "name one of the nodes",
    });
  }

  devices(nodes: readonly string[]): FenceDevice[] {
    return nodes.map((node) => {
      const { address, user } = this.boards[node]!;
      return {
        name: `fence-${node}`,
        agent: this.agent,
        nodes: [node],
        parameters: {
          ip: address,
          username: user,
          password_script: passwordScript(node),
          ...this.parameters,
        },
      };
    });
  }

  files(): ServiceFile[] {
    return Object.entries(this.boards).flatMap(([node, { password }]) => passwordFiles(node, password));
  }

  get secrets(): Secret[] {
    return Object.values(this.boards).map(({ password }) => password);
  }
}
