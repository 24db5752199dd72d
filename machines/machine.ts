import { type ChildProcess, spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdir, open, readdir, readFile, readlink, rm } from "node:fs/promises";
import { join } from "node:path";
import { Disk } from "./disk";
import type { Layers } from "./layers";
import type { Network } from "./network";
import { run, waitUntil, type RunResult } from "./run";
import { greetsSsh, ssh, type SshOptions } from "./ssh";
import { macOf, portOf, SubnetAddress } from "./subnet";

export interface MachineSpec {
  /**
   * Its IPv4 address with prefix length, for instance 10.77.0.11/24. The subnet decides the bridge; the subnet's
   * first address is the router's, which is the machine's default gateway.
   */
  readonly address: string;
  /** The root file system: see packages/. Default: the lab's. */
  readonly flavour?: Flavour;
  /**
   * How much the machine can write to its root file system, MiB. Default: 1024. It is this computer's memory, and
   * only what is in use counts.
   */
  readonly diskMiB?: number;
  /** Default: the machine's name in the lab. */
  readonly hostname?: string;
  /** Directory trees that lie over the root file system, read-only, topmost first. Default: none. */
  readonly layers?: readonly string[];
  /** A program that is run before the first boot with the root file system's directory: an image's own. Default: none. */
  readonly prepare?: string;
}

export type Flavour = "demo" | "tests";

/** What a machine needs of its lab. */
export interface MachineSurroundings {
  readonly network: Network;
  readonly privateKeyFile: string;
  readonly layers: Layers;
  /** The machine's own directory. */
  readonly directory: string;
}

/** nspawn's exit status when the machine rebooted itself and whoever runs nspawn is to start it again. */
const REBOOT_STATUS = 133;
const BOOT_SECONDS = 60;

/** A Debian machine with systemd, sshd and an address of its own. See `Lab`. */
export class LabMachine {
  /** Without prefix length. */
  readonly address: string;
  /** The hardware address of its interface eth0, the same at each power-on. */
  readonly mac: string;
  /** The lab's end of its cable, a network interface in the lab's main namespace: a place for tcpdump. */
  readonly port: string;
  private readonly subnetAddress: SubnetAddress;
  private readonly consoleFile: string;
  private lowerLayers = "";
  /** Block devices of this computer by their path on the machine. */
  private readonly disks = new Map<string, string>();
  private disk?: Disk;
  /** nspawn, while the machine is on. */
  private nspawn?: ChildProcess;
  private shouldRun = false;

  /** Use `Lab.start` or `Lab.add`. */
  constructor(
    readonly name: string,
    private readonly spec: MachineSpec & { readonly flavour: Flavour },
    private readonly lab: MachineSurroundings,
  ) {
    if (!/^[a-z][a-z0-9-]{0,30}$/.test(name))
      throw new Error(`a machine's name is at most 31 characters of a-z, 0-9 and -, not "${name}"`);
    this.subnetAddress = new SubnetAddress(spec.address);
    this.address = this.subnetAddress.address;
    this.mac = macOf(this.address);
    this.port = portOf(this.address);
    this.consoleFile = join(lab.directory, "console.log");
  }

  get isOn(): boolean {
    return this.nspawn !== undefined;
  }

  /**
   * Runs a script in the user's login shell on the machine. As in any shell, its status is its last command's:
   * begin with `set -e` where each one matters. Default time limit: 60 s.
   */
  ssh(script: string, options?: SshOptions): Promise<RunResult> {
    return ssh(this.lab.privateKeyFile, this.address, script, options);
  }

  /**
   * The network is silent at once, then every process dies. The disk is kept, including what was not synced: the
   * page cache is this computer's, which has no power cut.
   */
  async cutPower(): Promise<void> {
    this.shouldRun = false;
    const nspawn = this.nspawn;
    if (!nspawn) return;
    // The cable first: the kernel would say goodbye on each TCP connection of a dying process.
    await this.lab.network.setCable(this.address, false).catch(() => undefined); // not yet there: nothing to silence
    const init = await this.initProcess();
    if (init) kill(init);
    await this.waitUntilOff(5).catch(() => {
      kill(nspawn.pid);
      return this.waitUntilOff(5);
    });
  }

  /** Boots, with the cable plugged in, and waits until ssh lets every user in. */
  async powerOn(): Promise<void> {
    if (this.isOn) throw new Error(`${this.name} is already on`);
    await this.boot();
    const isReady = async () => {
      if (!this.isOn) throw new Error(`${this.name} went off while it booted`);
      // Until the boot is done, pam_nologin keeps everybody but root out.
      const nologin = `/proc/${await this.initProcess()}/root/run/nologin`;
      return (await greetsSsh(this.address)) && !existsSync(nologin);
    };
    try {
      await waitUntil(isReady, BOOT_SECONDS, () => `${this.name} does not answer ssh at ${this.address}`);
    } catch (error) {
      throw await this.withConsole(error as Error);
    }
  }

  /** A clean shutdown; after 60 s its power is cut and it fails. */
  async shutdown(): Promise<void> {
    this.shouldRun = false;
    if (!this.nspawn) return;
    this.nspawn.kill("SIGTERM"); // nspawn asks the machine's systemd to power off
    try {
      await this.waitUntilOff(60);
    } catch (error) {
      await this.cutPower();
      throw await this.withConsole(error as Error);
    }
  }

  /** A clean shutdown, then `powerOn()`. A machine can also reboot itself (`systemctl reboot`). */
  async reboot(): Promise<void> {
    await this.shutdown();
    await this.powerOn();
  }

  /** Pulls the cable: eth0 loses its carrier. */
  unplug(): Promise<void> {
    return this.lab.network.setCable(this.address, false);
  }

  plug(): Promise<void> {
    return this.lab.network.setCable(this.address, true);
  }

  /** A block device of this computer appears on the machine, at once and at each later power-on, until it is unplugged. */
  async plugDisk(device: string, path: string): Promise<void> {
    this.disks.set(path, device);
    const { stdout } = await run("stat", ["--format", "%Hr %Lr", device]);
    await this.inside(`mkdir -p "$(dirname ${path})" && mknod ${path} b ${stdout.trim()}`);
  }

  /** Gone, if it was there: what is mounted stays so. */
  async unplugDisk(path: string): Promise<void> {
    // at a power-on it was bound, later it was made
    if (this.disks.delete(path)) await this.inside(`umount ${path} 2>/dev/null; rm -f ${path}`);
  }

  /** Leaves no free block on the root file system: ENOSPC, for root too, until `freeDisk()`. */
  async fillDisk(): Promise<void> {
    await this.disk?.fill();
  }

  async freeDisk(): Promise<void> {
    await this.disk?.free();
  }

  /**
   * Resident memory of all its processes, MiB: the sum of their proportional set sizes, in which memory that is
   * shared, such as libraries, is split between the processes that share it, also those of other machines. Its
   * file cache is not included. 0 when off.
   */
  async memoryMiB(): Promise<number> {
    const init = await this.initProcess();
    if (!init) return 0;
    const namespace = await readlink(`/proc/${init}/ns/pid`);
    let kiB = 0;
    for (const pid of (await readdir("/proc")).filter((entry) => /^\d+$/.test(entry))) {
      if ((await readlink(`/proc/${pid}/ns/pid`).catch(() => "")) !== namespace) continue;
      const rollup = await readFile(`/proc/${pid}/smaps_rollup`, "utf8").catch(() => ""); // it may just have ended
      kiB += Number(/^Pss:\s+(\d+) kB/m.exec(rollup)?.[1] ?? 0);
    }
    return kiB / 1024;
  }

  /** The last lines of its console, which shows what failed at boot. */
  async consoleTail(lines = 30): Promise<string> {
    const text = await readFile(this.consoleFile, "utf8").catch(() => "");
    return text.trimEnd().split("\n").slice(-lines).join("\n");
  }

  /** For `Lab`: makes all that a first power-on needs. */
  async create(): Promise<void> {
    this.lowerLayers = await this.lab.layers.of(this.spec.flavour, this.spec.layers);
    await mkdir(this.lab.directory, { recursive: true });
    this.disk = await Disk.create(join(this.lab.directory, "disk"), this.spec.diskMiB ?? 1024);
    await this.lab.network.addSubnet(this.subnetAddress);
  }

  /** For `Lab`: power off, disk gone. */
  async destroy(): Promise<void> {
    await this.cutPower();
    await this.disk?.destroy();
    await rm(this.lab.directory, { recursive: true, force: true });
  }

  private async boot(): Promise<void> {
    this.shouldRun = true;
    const console = await open(this.consoleFile, "a");
    const env = {
      ...process.env,
      MACHINE: this.name,
      MACHINE_HOSTNAME: this.spec.hostname ?? this.name,
      ADDRESS: this.subnetAddress.toString(),
      GATEWAY: this.subnetAddress.gateway,
      MAC: this.mac,
      BRIDGE: this.lab.network.bridgeOf(this.address),
      PORT: this.port,
      DIRECTORY: this.lab.directory,
      LAYERS: this.lowerLayers,
      PUBLIC_KEY: `${this.lab.privateKeyFile}.pub`,
      PREPARE: this.spec.prepare ?? "",
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
      if (code === REBOOT_STATUS && this.shouldRun) this.boot().catch(() => undefined); // it just stays off
    });
  }

  private waitUntilOff(seconds: number): Promise<void> {
    return waitUntil(
      () => !this.isOn,
      seconds,
      () => `${this.name} does not go off`,
    );
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

  private async withConsole(error: Error): Promise<Error> {
    const console = (await this.consoleTail()) || "(empty)";
    return new Error(`${error.message}. Its console:\n${console}`);
  }
}

function kill(pid: number | undefined): void {
  try {
    if (pid) process.kill(pid, "SIGKILL");
  } catch {
    // It has just ended.
  }
}
