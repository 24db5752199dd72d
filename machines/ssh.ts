import { connect } from "node:net";
import { run, type RunOptions, type RunResult } from "./run";

export interface SshOptions extends Pick<RunOptions, "input" | "timeoutSeconds" | "allowFailure"> {
  /** Default: root. The machines also have `admin`, with sudo, and `nosudo`, without. */
  readonly user?: string;
  /** Until the keys are exchanged. Default: 15, and 30 for a virtual machine. */
  readonly connectSeconds?: number;
}

/** Options of the `ssh` program for a lab's machines; nothing of this computer's own ssh set-up has a say. */
export function sshArguments(privateKeyFile: string, connectSeconds = 15): string[] {
  const settings = [
    "BatchMode=yes",
    `ConnectTimeout=${connectSeconds}`,
    "IdentitiesOnly=yes",
    "IdentityAgent=none",
    "StrictHostKeyChecking=no",
    "UserKnownHostsFile=/dev/null",
    "LogLevel=ERROR",
    "KexAlgorithms=^curve25519-sha256", // a third faster than the default, which is post-quantum
  ];
  return ["-F", "none", "-i", privateKeyFile, ...settings.flatMap((setting) => ["-o", setting])];
}

/** Runs a script in the user's login shell on the machine with this address. */
export function ssh(
  privateKeyFile: string,
  address: string,
  script: string,
  { user = "root", connectSeconds, ...options }: SshOptions = {},
): Promise<RunResult> {
  return run("ssh", [...sshArguments(privateKeyFile, connectSeconds), `${user}@${address}`, script], options);
}

/** Whether a ssh server greets at the address within a second. */
export function greetsSsh(address: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host: address, port: 22 });
    const answer = (greeted: boolean) => {
      socket.destroy();
      resolve(greeted);
    };
    socket.setTimeout(1000, () => answer(false));
    socket.once("error", () => answer(false));
    socket.once("close", () => answer(false));
    socket.once("data", (data) => answer(data.toString().startsWith("SSH-")));
  });
}
