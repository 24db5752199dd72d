/**
 * Does a killed lab leave anything behind? Boots a lab, kills with -9 what runs it, and looks for its processes,
 * namespaces, mounts, network interfaces, cgroups and temporary files.
 *   npx tsx machines/leftovers-check.ts      as root; outside a sealed lab or inside one
 */
import { spawn, type ChildProcess } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { Lab } from "./lab";
import { PowerSwitch } from "./power-switch";
import { run, waitUntil } from "./run";

const VICTIMS = ["the parent of sealed.sh", "sealed.sh", "the process that runs the lab"] as const;
const NAMESPACES = ["net", "mnt", "pid", "ipc"];

/** A process, told apart from a later one with the same id by its start time. */
interface Process {
  readonly pid: number;
  readonly parent: number;
  readonly start: string;
}

function attempt<T>(read: () => T, otherwise: T): T {
  try {
    return read();
  } catch {
    return otherwise; // it has just ended
  }
}

function processes(): Process[] {
  return readdirSync("/proc")
    .filter((entry) => /^\d+$/.test(entry))
    .flatMap((pid) => {
      const stat = attempt(() => readFileSync(`/proc/${pid}/stat`, "utf8"), "");
      const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" "); // from the third field on
      const isAlive = stat !== "" && fields[0] !== "Z";
      return isAlive ? [{ pid: Number(pid), parent: Number(fields[1]), start: fields[19] ?? "" }] : [];
    });
}

function withDescendants(root: number): Process[] {
  const all = processes();
  const found = all.filter(({ pid }) => pid === root);
  for (const { pid } of found) found.push(...all.filter(({ parent }) => parent === pid));
  return found;
}

function namespacesOf(pid: number | "self"): string[] {
  return NAMESPACES.map((kind) => attempt(() => readlinkSync(`/proc/${pid}/ns/${kind}`), "")).filter(Boolean);
}

function commandOf(pid: number): string {
  return attempt(() => readFileSync(`/proc/${pid}/cmdline`, "utf8").replaceAll("\0", " ").trim(), "");
}

/** Control groups of the lab that this sealed.sh began; other labs' come and go. */
async function cgroupsOf(sealed: number): Promise<string[]> {
  const { stdout } = await run("find", ["/sys/fs/cgroup", "-maxdepth", "2", "-name", "ha-lab-*"], {
    allowFailure: true, // one that goes meanwhile
  });
  return stdout.split("\n").filter((path) => new RegExp(`[-.]${sealed}$`).test(path));
}

/** What a lab could leave on this computer outside its own processes, one text each. */
async function surroundings(labTemporary: string): Promise<string[]> {
  const links = (await run("ip", ["-o", "link"])).stdout.trim().split("\n");
  const mounts = readFileSync("/proc/self/mountinfo", "utf8").trim().split("\n");
  const directories = ["/run", "/run/netns", "/var/lib/machines", "/dev/shm", labTemporary];
  return [
    ...links.map((line) => `interface ${line.split(": ")[1]}`),
    ...mounts.map((line) => `mount ${line}`),
    ...directories.flatMap((directory) =>
      attempt(() => readdirSync(directory), []).map((entry) => join(directory, entry)),
    ),
  ];
}

/** Boots a lab and kills the victim. Gives what is left 10 s later at the latest. */
async function leftoversAfterKilling(victim: (typeof VICTIMS)[number]): Promise<string[]> {
  const temporary = mkdtempSync(join(tmpdir(), "leftovers-"));
  const before = new Set(await surroundings(temporary));
  const seal = `"${join(__dirname, "sealed.sh")}" "$@"; exit`;
  const labProcess = [process.execPath, ...process.execArgv, __filename, "--lab"];
  const parent = spawn("bash", ["-c", seal, "bash", ...labProcess], {
    env: { ...process.env, TMPDIR: temporary },
    stdio: ["ignore", "pipe", "inherit"],
  });
  await labIsUp(parent);

  const family = withDescendants(parent.pid ?? 0);
  // All kinds together: the kernel gives the number of a namespace that is gone to the next one, which may be another lab's.
  const togetherOf = (of: number | "self"): string => namespacesOf(of).join(" ");
  const own = togetherOf("self");
  const namespaces = new Set(
    family.map((each) => togetherOf(each.pid)).filter((names) => names && names !== own),
  );
  const sealed = family.find(({ pid }) => commandOf(pid).includes("sealed.sh") && pid !== parent.pid);
  const inside = family.find(({ pid }) => commandOf(pid).startsWith(process.execPath));
  const pid = { [VICTIMS[0]]: parent.pid, [VICTIMS[1]]: sealed?.pid, [VICTIMS[2]]: inside?.pid }[victim];
  if (!pid || !sealed) throw new Error(`${victim} not found`);
  if (!(await cgroupsOf(sealed.pid)).length) throw new Error("the lab has no control group of its own");
  process.kill(pid, "SIGKILL");

  let left: string[] = [];
  const look = async () => {
    const alive = processes();
    const isLeft = ({ pid, start }: Process) =>
      alive.some((other) => other.pid === pid && other.start === start);
    left = [
      ...family.filter(isLeft).map(({ pid }) => `process ${pid} ${commandOf(pid)}`),
      ...alive
        .filter((each) => namespaces.has(togetherOf(each.pid)))
        .map((each) => `process ${each.pid} in the lab's namespaces: ${commandOf(each.pid)}`),
      ...(await cgroupsOf(sealed.pid)),
      ...(await surroundings(temporary)).filter((entry) => !before.has(entry)),
    ];
    return left.length === 0;
  };
  const start = Date.now();
  await waitUntil(look, 60, () => "").catch(() => undefined);
  console.log(
    `Killed ${victim}: ${family.length} processes in ${namespaces.size} sets of namespaces of the lab, ` +
      (left.length ? `left: ${left.length}` : `all gone within ${Date.now() - start} ms`),
  );
  rmSync(temporary, { recursive: true });
  return left;
}

async function labIsUp(parent: ChildProcess): Promise<void> {
  let output = "";
  parent.stdout?.on("data", (chunk: Buffer) => (output += chunk.toString()));
  const isUp = () => {
    if (parent.exitCode !== null) throw new Error("the lab did not start");
    return output.includes("UP");
  };
  await waitUntil(isUp, 60, () => "the lab does not start");
}

/**
 * Run inside sealed.sh: a lab with something of everything. Its virtual machine is killed while it boots, which makes no
 * difference to what it leaves.
 */
async function runLab(): Promise<void> {
  const lab = await Lab.start({ a: { address: "10.77.0.11/24" }, b: { address: "10.78.0.11/24" } });
  if (await hasVirtualMachines()) {
    const booting = lab.add("vm", { address: "10.77.0.21/24", vm: { dataDisks: [{ sizeMiB: 16 }] } });
    const isOn = () => lab.names.includes("vm") && lab.machine("vm").isOn;
    await Promise.race([booting, waitUntil(isOn, 60, () => "the virtual machine is not switched on")]);
    booting.catch(() => undefined);
    await PowerSwitch.start(lab, { address: "10.77.0.1", password: "secret" });
  }
  await lab.partition(["a"], ["b"]);
  await lab.machine("a").fillDisk();
  console.log("UP");
  await delay(60_000);
}

async function hasVirtualMachines(): Promise<boolean> {
  const image = await run(join(__dirname, "root-file-system.sh"), ["--image"], { allowFailure: true });
  return image.code === 0;
}

async function main(): Promise<void> {
  if (!(await hasVirtualMachines())) {
    const reason = "no virtual machine among them: machines/root-file-system.sh vms has not been run";
    if (process.env.HA_TEST_NEEDS === "all") throw new Error(reason);
    console.log(`SKIPPED: ${reason}`);
  }
  const left: string[] = [];
  for (const victim of VICTIMS) left.push(...(await leftoversAfterKilling(victim)));
  if (left.length) throw new Error(`left behind:\n${left.join("\n")}`);
}

(process.argv[2] === "--lab" ? runLab() : main()).catch((error: unknown) => {
  console.error(error);
  process.exit(1);
});
