import { spawn } from "node:child_process";
import { cpSync, mkdirSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { Lab, type LabMachine } from "../machines/lab";
import { waitUntil } from "../machines/run";

/** The machines of examples/load-balancer and a client, in a lab: for the demo, and for the bench of its failover. */
const root = join(__dirname, "..");
export const ADDRESS = "10.77.0.100";

export function boot(): Promise<Lab> {
  return Lab.start({
    "lb-1": { address: "10.77.0.11/24" },
    "lb-2": { address: "10.77.0.12/24" },
    "web-1": { address: "10.77.0.21/24" },
    "web-2": { address: "10.77.0.22/24" },
    client: { address: "10.77.0.31/24" },
  });
}

/** The CLI as a user runs it, in a copy of the example's folder: its output and state go with the lab. */
export async function deploy(lab: Lab, onStep: (step: string) => void = () => undefined): Promise<void> {
  const directory = join(lab.directory, "project/examples/load-balancer");
  mkdirSync(directory, { recursive: true });
  cpSync(join(root, "examples/load-balancer"), directory, { recursive: true });
  for (const name of ["node_modules", "lib", "package.json", "tsconfig.json"]) {
    symlinkSync(join(root, name), join(lab.directory, "project", name));
  }
  const child = spawn(join(root, "node_modules/.bin/cdktf"), ["deploy", "--auto-approve"], {
    cwd: directory,
    env: {
      ...process.env,
      SSH_KEY: lab.privateKeyFile,
      CI: "1", // no questions, no animation
      CHECKPOINT_DISABLE: "1",
      TF_CLI_CONFIG_FILE: "/dev/null",
      FORCE_COLOR: "0",
    },
    stdio: ["ignore", "pipe", "pipe"],
  });
  const lines: string[] = [];
  const hear = (data: Buffer): void => {
    for (const line of data.toString().split("\n")) {
      lines.push(line);
      const step = /(\[[\w-]+ [\w-]+\] .*)/.exec(line)?.[1];
      if (step && line.includes("remote-exec")) onStep(step);
    }
  };
  child.stdout.on("data", hear);
  child.stderr.on("data", hear);
  const code = await new Promise<number | null>((resolve, reject) => {
    child.once("error", reject);
    child.once("close", resolve);
  });
  if (code !== 0) throw new Error(`cdktf deploy failed:\n${lines.slice(-40).join("\n")}`);
}

/** The node that has the address; waits until there is one. */
export async function holder(lab: Lab): Promise<LabMachine> {
  let machine: LabMachine | undefined;
  await waitUntil(
    async () => (machine = await holderNow(lab)) !== undefined,
    20,
    () => `nobody has ${ADDRESS}`,
    100,
  );
  return machine!;
}

async function holderNow(lab: Lab): Promise<LabMachine | undefined> {
  for (const machine of [lab.machine("lb-1"), lab.machine("lb-2")]) {
    const { stdout } = await machine.ssh(`ip -oneline address show to ${ADDRESS}`);
    if (stdout.trim()) return machine;
  }
  return undefined;
}
