import type { ServiceFile } from "../push/service";
import { shellQuoted } from "../script-text";
import type { Secret } from "../secret/secret";
import { fenceSecret } from "./fence-method";
import { PROGRAMS } from "./layout";
import type { ManagementBoard } from "./management-board";
import { NodeFencing } from "./node-fencing";

/** A management board that speaks IPMI. */
export interface IpmiBoard extends ManagementBoard {
  /**
   * The cipher suite, 3 or 17. A board that knows no question for its suites lets `ipmitool` ask for 14 s each time.
   * @default - the best that the board offers
   */
  readonly cipher?: 3 | 17;
}

/** By ClusterLabs' fence_ipmilan and ipmitool, with IPMI 2.0's encryption. */
export class IpmiFencing extends NodeFencing<IpmiBoard> {
  constructor(boards: Readonly<Record<string, IpmiBoard>>) {
    super("fence_ipmilan", "board", boards, "ipmitool");
  }

  protected place({ address }: IpmiBoard): string {
    return address;
  }

  protected secretsOf({ password }: IpmiBoard): readonly Secret[] {
    return [password];
  }

  protected parameters(node: string, { address, user, cipher }: IpmiBoard): Record<string, string> {
    return {
      ip: address,
      username: user,
      lanplus: "1",
      // the least that may switch power; the agent's default is administrator, which boards refuse to those who are less
      privlvl: "operator",
      ...(cipher === undefined ? {} : { cipher: String(cipher) }),
      ipmitool_path: tool(node),
      // boards take seconds for each answer
      pcmk_reboot_timeout: "300s",
    };
  }

  protected filesFor(node: string, { password }: IpmiBoard): ServiceFile[] {
    const secret = fenceSecret(node, password.placeholder);
    return [
      secret,
      {
        path: tool(node),
        text: `#!/bin/sh
# fence_ipmilan writes the password on the command line, which everybody can read until ipmitool has covered it. Here the agent knows no password, and the
# file counts, being the last that is said.
exec /usr/bin/ipmitool "$@" -f ${shellQuoted(secret.path)}
`,
        mode: "0700",
        onChange: "none",
      },
    ];
  }
}

/** Is to the agent what ipmitool is. */
function tool(node: string): string {
  return `${PROGRAMS}/fence-ipmitool-${node}`;
}
