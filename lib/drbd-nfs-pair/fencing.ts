import type { Construct } from "constructs";
import { isToken, refuse } from "../problem";
import { shellQuoted } from "../script-text";
import type { ServiceFile, ServicePackage } from "../push/service";
import type { Secret } from "../secret/secret";
import type { FenceDevice } from "./cib";

/** A machine's management board, which has power while the machine has none. */
export interface ManagementBoard {
  /** Address or name of the board, as the other node reaches it. */
  readonly address: string;
  readonly user: string;
  readonly password: Secret;
}

export interface CommandFencingProps {
  /** Name of the program: `fence_` and letters, digits or underscores; it becomes /usr/sbin/NAME. */
  readonly name: string;
  /**
   * The agent's text, from its `#!` line on. It speaks ClusterLabs' fence agent API: `key=value` lines on standard input, the
   * actions on, off, reboot, status, monitor and metadata. "Off" must be told only once it is certain.
   */
  readonly program: string;
  /** Told to the agent at each call, besides the node's name as `port`. Never a password: the cluster shows them. @default none */
  readonly parameters?: Readonly<Record<string, string>>;
  /** The agent is told as `password_script` which program, for root alone, prints it. @default none */
  readonly password?: Secret;
}

/** How a node that may still be writing is made to stop, before the other one begins: its power is cut. */
export abstract class Fencing {
  /** Boards that speak IPMI 2.0, by node. A board that has its power from its own machine dies with it. */
  static ipmi(boards: Readonly<Record<string, ManagementBoard>>): Fencing {
    return new BoardFencing("fence_ipmilan", boards, { lanplus: "1" });
  }

  /** Boards that speak Redfish, by node. */
  static redfish(boards: Readonly<Record<string, ManagementBoard>>): Fencing {
    return new BoardFencing("fence_redfish", boards, { ssl_insecure: "1" });
  }

  /** A program of your own that switches each node's power. */
  static command(props: CommandFencingProps): Fencing {
    return new CommandFencing(props);
  }

  /** Nobody is switched off. What can be lost then is told at every synth. */
  static none(_accept: { readonly iAcceptSplitBrain: true }): Fencing {
    return new NoFencing();
  }

  /** False: nobody is switched off. */
  readonly isCertain: boolean = true;
  readonly packages: readonly ServicePackage[] = [];

  /** Refuses nodes that nobody could switch off. */
  abstract check(scope: Construct, nodes: readonly string[]): void;

  abstract devices(nodes: readonly string[]): FenceDevice[];

  /** Programs and passwords, on each node. */
  abstract files(): ServiceFile[];

  abstract readonly secrets: readonly Secret[];
}

const PASSWORDS = "/etc/cdktf-ha/drbd-nfs-fence";
const PROGRAMS = "/usr/local/lib/cdktf-ha/drbd-nfs";

/** The cluster's configuration can be read by more than root: it names who knows the password. */
function passwordScript(owner: string): string {
  return `${PROGRAMS}/fence-password-${owner}`;
}

function passwordFiles(owner: string, password: Secret): ServiceFile[] {
  const path = `${PASSWORDS}-${owner}`;
  return [
    { path, text: password.placeholder, mode: "0600", onChange: "none" },
    {
      path: passwordScript(owner),
      text: `#!/bin/sh\nexec cat ${shellQuoted(path)}\n`,
      mode: "0700",
      onChange: "none",
    },
  ];
}

class BoardFencing extends Fencing {
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

class CommandFencing extends Fencing {
  readonly secrets: readonly Secret[];

  constructor(private readonly props: CommandFencingProps) {
    super();
    const { name, program, password } = props;
    this.secrets = password ? [password] : [];
    if (!/^fence_[a-z0-9_]{1,40}$/.test(name)) {
      refuse("Fencing.command", {
        code: "bad-name",
        what: `'${name}'`,
        allowed: "fence_ and small letters, digits or underscores: Pacemaker finds agents by this beginning",
        fix: "name it like fence_our_switch",
      });
    }
    if (!isToken(program) && !program.startsWith("#!")) {
      refuse("Fencing.command", {
        code: "bad-text",
        what: `the program of '${name}' does not begin with #!`,
        allowed: "the text of a program, not its path",
        fix: 'program: readFileSync("fence_our_switch", "utf8")',
      });
    }
  }

  check(): void {
    // whom it can switch off only the program knows
  }

  devices(nodes: readonly string[]): FenceDevice[] {
    const { name, parameters = {}, password } = this.props;
    const secret = password && { password_script: passwordScript(name) };
    return [{ name: "fence", agent: name, nodes, parameters: { ...parameters, ...secret } }];
  }

  files(): ServiceFile[] {
    const { name, program, password } = this.props;
    return [
      { path: `/usr/sbin/${name}`, text: program, mode: "0755", onChange: "none" },
      ...(password ? passwordFiles(name, password) : []),
    ];
  }
}

class NoFencing extends Fencing {
  override readonly isCertain = false;
  readonly secrets: readonly Secret[] = [];

  check(): void {
    // accepted
  }

  devices(): FenceDevice[] {
    return [];
  }

  files(): ServiceFile[] {
    return [];
  }
}
