import { spawn } from "node:child_process";
import { cpSync, mkdirSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { Lab, type LabMachine } from "../machines/lab";
import { waitUntil } from "../machines/run";
import { timeline } from "./timeline";

/** Runs inside machines/sealed.sh: boots, deploys the example, pulls the power, tells what a client saw. */
const root = join(__dirname, "..");
const address = "10.77.0.100";
const started = performance.now();

async function main(): Promise<void> {
  say("booting two load balancers, two web servers and a client");
  const lab = await Lab.start({
    "lb-1": { address: "10.77.0.11/24" },
    "lb-2": { address: "10.77.0.12/24" },
    "web-1": { address: "10.77.0.21/24" },
    "web-2": { address: "10.77.0.22/24" },
    client: { address: "10.77.0.31/24" },
  });
  try {
    say("cdktf deploy examples/load-balancer");
    await deploy(lab);
    await failover(lab);
  } finally {
    say("cleaning up: machines off, nothing is left of them");
    await lab.stop();
  }
}

/** The CLI as a user runs it, in a copy of the example's folder: its output and state go with the lab. */
async function deploy(lab: Lab): Promise<void> {
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
      if (step && line.includes("remote-exec")) console.log(`   ${step}`);
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

async function failover(lab: Lab): Promise<void> {
  let active: LabMachine | undefined;
  await waitUntil(
    async () => (active = await holder(lab)) !== undefined,
    20,
    () => `nobody has ${address}`,
    100,
  );
  say(`${active!.name} has ${address}; the client sends a request every 20 ms`);
  const requests = lab.machine("client").ssh(CLIENT, { timeoutSeconds: 60 });
  await delay(2000);
  const cut = Date.now() / 1000;
  await active!.cutPower();
  say(`pulled the power of ${active!.name}`);
  console.log(timeline((await requests).stdout, cut, active!.name));
}

async function holder(lab: Lab): Promise<LabMachine | undefined> {
  for (const machine of [lab.machine("lb-1"), lab.machine("lb-2")]) {
    const { stdout } = await machine.ssh(`ip -oneline address show to ${address}`);
    if (stdout.trim()) return machine;
  }
  return undefined;
}

/** For six seconds a new connection every 20 ms, each with 300 ms to answer: time, milliseconds, status, server. */
const CLIENT = `
end=$((SECONDS + 6))
while ((SECONDS < end)); do
  { at=$EPOCHREALTIME
    body=$(curl --silent --max-time 0.3 --write-out ' %{http_code}' http://${address}/)
    echo "$at $(( (\${EPOCHREALTIME/./} - \${at/./}) / 1000 )) \${body##* } \${body% *}" | tr '\\n' ' '; echo; } &
  sleep 0.02
done
wait`;

function say(text: string): void {
  console.log(`${((performance.now() - started) / 1000).toFixed(1).padStart(5)} s  ${text}`);
}

main().catch((error: unknown) => {
  console.error(error);
  process.exitCode = 1;
});
