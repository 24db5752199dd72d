import { type ChildProcess, spawn } from "node:child_process";
import { open, readFile, stat, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { acceleration, processorOptions, type Acceleration } from "./acceleration";
import { processMemoryMiB } from "./container";
import { kill, type Hardware, type HardwareSpec } from "./hardware";
import type { Layers } from "./layers";
import { qmp } from "./qmp";
import { run } from "./run";
import { ssh } from "./ssh";

export interface VirtualMachineSpec {
  /** Default: 512. It is this computer's memory, and what the machine has once used it keeps. */
  readonly memoryMiB?: number;
  /** Empty disks, which the machine has as /dev/vdb, /dev/vdc, ... Default: none. */
  readonly dataDisks?: readonly DataDisk[];
}

export interface DataDisk {
  /** This computer's memory, and only what is in use counts. */
  readonly sizeMiB: number;
  /** The disk is /dev/disk/by-id/virtio-SERIAL as well; at most 20 characters. Default: data1, data2, ... */
  readonly serial?: string;
}

const ROOT_DISK = "root.qcow2";
const FILLER = "/.filler";

/**
 * A machine that is a virtual machine: QEMU, with Debian's kernel. Its disks are files of the lab, written as the machine
 * writes them: a power cut loses what it had not yet written.
 */
export class VirtualMachine implements Hardware {
  private image = "";
  /** The operator's, in base64. */
  private publicKey = "";
  private acceleration: Acceleration = "tcg";
  /** While the machine is on. */
  private qemu?: ChildProcess;
  private readonly monitor: string;

  constructor(
    private readonly machine: HardwareSpec,
    private readonly spec: VirtualMachineSpec,
    private readonly layers: Layers,
  ) {
    this.monitor = join(machine.directory, "monitor");
  }

  get isOn(): boolean {
    return this.qemu !== undefined;
  }

  get bootSeconds(): number {
    return this.acceleration === "kvm" ? 60 : 600; // translated, and beside other labs
  }

  async create(): Promise<void> {
    this.image = await this.layers.image();
    this.acceleration = await acceleration(this.image);
    this.publicKey = (await readFile(`${this.machine.privateKeyFile}.pub`, "utf8")).split(" ")[1] ?? "";
    const base = join(this.image, "root.ext4");
    await run("qemu-img", ["create", "-q", "-f", "qcow2", "-b", base, "-F", "raw", this.file(ROOT_DISK)]);
    for (const { file, sizeMiB } of this.dataDisks) {
      await writeFile(file, "");
      await truncate(file, sizeMiB * 1024 * 1024);
    }
    for (const { port, bridge } of this.machine.interfaces())
      await run("ip", ["-batch", "-"], {
        input: `tuntap add dev ${port} mode tap\nlink set ${port} master ${bridge}\n`,
      });
  }

  async start(): Promise<void> {
    for (const { port } of this.machine.interfaces()) await run("ip", ["link", "set", port, "up"]);
    const log = await open(this.machine.consoleFile, "a");
    // setpriv: the machine dies with this process.
    const qemu = spawn("setpriv", ["--pdeathsig", "KILL", "qemu-system-x86_64", ...this.options()], {
      stdio: ["ignore", log.fd, log.fd],
      // a session of its own: the kernel shares processors out by session, and a lab's containers have many
      detached: true,
    });
    await log.close();
    this.qemu = qemu;
    qemu.unref(); // a forgotten lab does not keep this process from ending
    const ended = () => {
      if (this.qemu === qemu) this.qemu = undefined;
    };
    qemu.once("error", ended);
    qemu.once("exit", ended);
  }

  async isBooted(): Promise<boolean> {
    const [{ address } = { address: "" }] = this.machine.interfaces();
    const script = "for i in $(seq 100); do test -e /run/nologin || exit 0; sleep 0.2; done; exit 1";
    const options = { allowFailure: true, connectSeconds: 30, timeoutSeconds: 120 };
    return (await ssh(this.machine.privateKeyFile, address, script, options)).code === 0;
  }

  kill(): Promise<void> {
    kill(this.qemu?.pid); // setpriv has become QEMU
    return Promise.resolve();
  }

  async requestShutdown(): Promise<void> {
    await qmp(this.monitor, "system_powerdown");
  }

  async setCarrier(index: number, up: boolean): Promise<void> {
    if (this.isOn) await qmp(this.monitor, "set_link", { name: `net${index}`, up });
  }

  plugDisk(): Promise<void> {
    return Promise.reject(new Error("the disks of a virtual machine are its dataDisks"));
  }

  unplugDisk(): Promise<void> {
    return this.plugDisk();
  }

  async growDataDisk(sizeMiB: number): Promise<void> {
    const [disk] = this.dataDisks;
    if (!disk) throw new Error(`${this.machine.name} has no data disk`);
    const size = sizeMiB * 1024 * 1024;
    const now = (await stat(disk.file)).size;
    if (size < now) throw new Error(`the disk has ${now / 1024 / 1024} MiB already`);
    if (this.isOn) await qmp(this.monitor, "block_resize", { device: "data1", size });
    else await truncate(disk.file, size);
  }

  async fillDisk(): Promise<void> {
    // With the size of what is free it fails where the last blocks are metadata: dd takes what fallocate leaves.
    await this.inside(
      `fallocate -l "$(df --output=avail -B1 / | tail -n 1)" ${FILLER}; dd if=/dev/zero of=${FILLER}2 bs=4k 2>/dev/null; sync`,
    );
  }

  async freeDisk(): Promise<void> {
    await this.inside(`rm -f ${FILLER} ${FILLER}2`);
  }

  async memoryMiB(): Promise<number> {
    return this.qemu?.pid ? processMemoryMiB(this.qemu.pid) : 0;
  }

  async destroy(): Promise<void> {
    for (const { port } of this.machine.interfaces())
      await run("ip", ["link", "delete", port], { allowFailure: true }); // not yet there, where `create` failed
  }

  private options(): string[] {
    const { machine, spec } = this;
    const disk = (id: string, file: string, format: string, serial: string) => [
      ...["-drive", `id=${id},file=${file},format=${format},if=none,cache=unsafe`],
      ...["-device", `virtio-blk-pci,drive=${id},serial=${serial}`],
    ];
    return [
      ...["-name", machine.name, ...processorOptions(this.acceleration), "-smp", "1"],
      ...["-m", `${spec.memoryMiB ?? 512}`, "-nodefaults", "-display", "none"],
      ...["-chardev", `file,id=console,path=${machine.consoleFile},append=on`, "-serial", "chardev:console"],
      ...["-qmp", `unix:${this.monitor},server=on,wait=off`],
      ...["-kernel", join(this.image, "vmlinuz"), "-initrd", join(this.image, "initrd")],
      ...["-append", this.kernelCommandLine()],
      ...disk("root", this.file(ROOT_DISK), "qcow2", "root"),
      ...this.dataDisks.flatMap(({ file, serial }, index) => disk(`data${index + 1}`, file, "raw", serial)),
      ...machine
        .interfaces()
        .flatMap(({ mac, port }, index) => [
          ...["-netdev", `tap,id=net${index},ifname=${port},script=no,downscript=no`],
          ...["-device", `virtio-net-pci,netdev=net${index},mac=${mac},romfile=`],
        ]),
      ...["-device", "virtio-rng-pci"],
    ];
  }

  private kernelCommandLine(): string {
    const { hostname, gateway, interfaces } = this.machine;
    const addresses = interfaces().map(({ address, prefix }) => `${address}/${prefix}`);
    return [
      "console=ttyS0 quiet loglevel=3 systemd.show_status=error net.ifnames=0",
      // Nothing here is worth protecting from its neighbour, and translated code pays dearly for it.
      "mitigations=off nokaslr audit=0 selinux=0 apparmor=0 random.trust_cpu=on no_timer_check tsc=reliable",
      `lab.hostname=${hostname} lab.gateway=${gateway} lab.key=${this.publicKey}`,
      `lab.addresses=${addresses.join(",")}`,
    ].join(" ");
  }

  private get dataDisks(): { readonly file: string; readonly sizeMiB: number; readonly serial: string }[] {
    return (this.spec.dataDisks ?? []).map(({ sizeMiB, serial }, index) => {
      const name = `data${index + 1}`;
      return { file: this.file(`${name}.raw`), sizeMiB, serial: serial ?? name };
    });
  }

  private file(name: string): string {
    return join(this.machine.directory, name);
  }

  private async inside(script: string): Promise<void> {
    const [eth0] = this.machine.interfaces();
    if (this.isOn && eth0)
      await ssh(this.machine.privateKeyFile, eth0.address, script, { connectSeconds: 30 });
  }
}
