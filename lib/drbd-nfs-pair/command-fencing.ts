import { isToken, refuse } from "../problem";
import type { ServiceFile } from "../push/service";
import type { Secret } from "../secret/secret";
import type { FenceDevice } from "./cib";
import { agentName, FenceMethod, passwordFiles, passwordScript } from "./fence-method";

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

/** A program of the user's own. */
export class CommandFencing extends FenceMethod {
  readonly secrets: readonly Secret[];

  constructor(private readonly props: CommandFencingProps) {
    super();
    const { name, program, password } = props;
    this.secrets = password ? [password] : [];
    agentName("Fencing.command", name);
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
