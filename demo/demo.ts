import { spawn, spawnSync, type ChildProcess } from "node:child_process";
import { join } from "node:path";
import { describeExamples } from "./examples";

/** `npm run demo`: the real thing where this computer can do it, else what would be done, and what is missing for it. */
const root = join(__dirname, "..");
let running: ChildProcess | undefined;

async function main(): Promise<number> {
  const missing = whatIsMissing();
  if (missing.length) {
    describeExamples(root);
    console.log(
      "\nNot done: no machine was booted, nothing was deployed, no power was cut. Missing on this computer:",
    );
    for (const reason of missing) console.log(`  - ${reason}`);
    return 0;
  }
  const steps: [string, string[]][] = [
    [join(root, "machines/host-packages.sh"), ["--install"]],
    [join(root, "machines/root-file-system.sh"), ["demo"]],
    [join(root, "machines/sealed.sh"), ["npx", "tsx", join(root, "demo/in-lab.ts")]],
  ];
  for (const [command, args] of steps) {
    const status = await run(command, args);
    if (isEnding) return 130;
    if (status !== 0) return status;
  }
  return 0;
}

function whatIsMissing(): string[] {
  const missing: string[] = [];
  if (process.platform !== "linux")
    missing.push(`Linux (this is ${process.platform}): the machines are containers of its kernel`);
  else if (spawnSync("apt-get", ["--version"]).status !== 0)
    missing.push("Debian or Ubuntu: the machines are built from its packages");
  if (process.getuid?.() !== 0)
    missing.push("root (try sudo npm run demo): machines need namespaces and addresses of their own");
  if (spawnSync("terraform", ["version"]).status !== 0) missing.push("Terraform 1.4 or later on the PATH");
  return missing;
}

function run(command: string, args: readonly string[]): Promise<number> {
  const child = spawn(command, args, { cwd: root, stdio: "inherit" });
  running = child;
  return new Promise((resolve, reject) => {
    child.once("error", reject);
    child.once("exit", (code, signal) => resolve(signal ? 130 : (code ?? 1)));
  });
}

// The lab ends, and with it every machine, address and mount; this process waits for that. Ctrl-C reaches the whole group,
// a signal from elsewhere only this process.
let isEnding = false;
for (const signal of ["SIGINT", "SIGTERM"] as const) {
  process.on(signal, () => {
    if (!isEnding) console.log("\ncleaning up");
    isEnding = true;
    running?.kill("SIGTERM");
  });
}

main().then(
  (status) => (process.exitCode = status),
  (error: unknown) => {
    console.error(error);
    process.exitCode = 1;
  },
);
