import { type ChildProcess, spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { open, readdir, readFile, readlink } from "node:fs/promises";
import { join } from "node:path";
import { Disk } from "./disk";
import { kill, type Hardware, type HardwareSpec } from "./hardware";
import type { Layers } from "./layers";
import type { Flavour } from "./machine";
import { run, waitUntil } from "./run";

export interface ContainerSpec {
  readonly flavour: Flavour;
  readonly diskMiB: number;
  readonly layers: readonly string[];
  readonly prepare: string;
}

/** nspawn's exit status when the machine rebooted itself and whoever runs nspawn is to start it again. */
const REBOOT_STATUS = 133;

/** A machine that is a container: systemd-nspawn over overlayfs. It has this computer's kernel. */
export class Container implements Hardware {
  readonly bootSeconds = 60;
  private lowerLayers = "";
  /** Block devices of this computer by their path on the machine. */
  private readonly disks = new Map<string, string>();
  private disk?: Disk;
  /** nspawn, while the machine is on. */
  private nspawn?: ChildProcess;
  private shouldRun = false;

  constructor(
    private readonly machine: HardwareSpec,
    private readonly spec: ContainerSpec,
    private readonly layers: Layers,
  ) {}

  get isOn(): boolean {
    return this.nspawn !== undefined;
  }

  async create(): Promise<void> {
    this.lowerLayers = await this.layers.of(this.spec.flavour, this.spec.layers);
    this.disk = await Disk.create(join(this.machine.directory, "disk"), this.spec.diskMiB);
  }

  async start(): Promise<void> {
    this.shouldRun = true;
    const { machine } = this;
    const console = await open(machine.consoleFile, "a");
    const env = {
      ...process.env,
      MACHINE: machine.name,
      MACHINE_HOSTNAME: machine.hostname,
      GATEWAY: machine.gateway,
      CABLES: machine
        .interfaces()
        .map(({ address, prefix, mac, port, bridge }) => `${address}/${prefix} ${mac} ${port} ${bridge}\n`)
        .join(""),
      DIRECTORY: machine.directory,
      LAYERS: this.lowerLayers,
      PUBLIC_KEY: `${machine.privateKeyFile}.pub`,
      PREPARE: this.spec.prepare,
      DISKS: [...this.disks].map(([path, device]) => `--bind=${device}:${path}`).join(" "),
    };
    // setpriv: the machine dies with this process. Each of these programs becomes the next one, so that the
    // child is nspawn in the end.
    const command = ["--pdeathsig", "KILL", "unshare", "--mount", "--net", "--propagation", "private"];
    const boot = join(__dirname, "on-host", "boot.sh");
    const nspawn = spawn("setpriv", [...command, boot], { env, stdio: ["ignore", console.fd, console.fd] });
    await console.close();
    this.nspawn = nspawn;
    nspawn.unref(); // a forgotten lab does not keep this process from ending
    nspawn.once("error", () => (this.nspawn = undefined));
    nspawn.once("exit", (code) => {
      this.nspawn = undefined;
      if (code === REBOOT_STATUS && this.shouldRun) this.start().catch(() => undefined); // it just stays off
    });
  }

  async isBooted(): Promise<boolean> {
    // Until the boot is done, pam_nologin keeps everybody but root out.
    return !existsSync(`/proc/${await this.initProcess()}/root/run/nologin`);
  }

  async kill(): Promise<void> {
    this.shouldRun = false;
    const { nspawn } = this;
    kill(await this.initProcess());
    // nspawn ends with its child. Where it has none, or does not notice:
    await waitUntil(
      () => !this.isOn,
      5,
      () => "",
    ).catch(() => kill(nspawn?.pid));
  }

  requestShutdown(): Promise<void> {
    this.shouldRun = false;
    this.nspawn?.kill("SIGTERM"); // nspawn asks the machine's systemd to power off
    return Promise.resolve();
  }

  setCarrier(): Promise<void> {
    return Promise.resolve(); // a veth's carrier is its peer's state
  }

  async plugDisk(device: string, path: string): Promise<void> {
    this.disks.set(path, device);
    const { stdout } = await run("stat", ["--format", "%Hr %Lr", device]);
    await this.inside(`mkdir -p "$(dirname ${path})" && mknod ${path} b ${stdout.trim()}`);
  }

  async unplugDisk(path: string): Promise<void> {
    // at a power-on it was bound, later it was made
    if (this.disks.delete(path)) await this.inside(`umount ${path} 2>/dev/null; rm -f ${path}`);
  }

  growDataDisk(): Promise<void> {
    return Promise.reject(new Error("the disks of a container are this computer's: make them larger here"));
  }

  async fillDisk(): Promise<void> {
    await this.disk?.fill();
  }

  async freeDisk(): Promise<void> {
    await this.disk?.free();
  }

  async memoryMiB(): Promise<number> {
    const init = await this.initProcess();
    if (!init) return 0;
    const namespace = await readlink(`/proc/${init}/ns/pid`);
    let sum = 0;
    for (const pid of (await readdir("/proc")).filter((entry) => /^\d+$/.test(entry)))
      if ((await readlink(`/proc/${pid}/ns/pid`).catch(() => "")) === namespace)
        sum += await processMemoryMiB(pid);
    return sum;
  }

  async destroy(): Promise<void> {
    await this.disk?.destroy();
  }

  /** The machine's process 1 as seen from the lab: nspawn's only child. */
  private async initProcess(): Promise<number | undefined> {
    const pid = this.nspawn?.pid;
    if (!pid) return undefined;
    const children = await readFile(`/proc/${pid}/task/${pid}/children`, "utf8").catch(() => "");
    return Number.parseInt(children, 10) || undefined;
  }

  /** Runs a script on the machine from outside, where it is on. */
  private async inside(script: string): Promise<void> {
    const init = await this.initProcess();
    if (init) await run("nsenter", ["--target", `${init}`, "--mount", "bash", "-c", script]);
  }
}

/** The proportional set size of a process, MiB; 0 where it has just ended. */
export async function processMemoryMiB(pid: number | string): Promise<number> {
  const rollup = await readFile(`/proc/${pid}/smaps_rollup`, "utf8").catch(() => "");
  return Number(/^Pss:\s+(\d+) kB/m.exec(rollup)?.[1] ?? 0) / 1024;
}
