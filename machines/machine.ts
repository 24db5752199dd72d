import { mkdir, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { Container } from "./container";
import type { Hardware, Interface } from "./hardware";
import type { Layers } from "./layers";
import type { Network } from "./network";
import { waitUntil, type RunResult } from "./run";
import { greetsSsh, ssh, type SshOptions } from "./ssh";
import { macOf, portOf, SubnetAddress } from "./subnet";
import { VirtualMachine, type VirtualMachineSpec } from "./virtual-machine";

export interface MachineSpec {
  /**
   * Its IPv4 address with prefix length, for instance 10.77.0.11/24. The subnet decides the bridge; the subnet's
   * first address is the router's, which is the machine's default gateway.
   */
  readonly address: string;
  /**
   * Addresses of further interfaces, eth1, eth2, ..., each in a subnet of its own; for instance a second link of a cluster.
   * Default: none.
   */
  readonly moreAddresses?: readonly string[];
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
  /**
   * A virtual machine with a kernel of its own, Debian's, and the root file system `vms`. It has no `flavour`, `diskMiB`, `layers` or
   * `prepare`. Default: a container.
   */
  readonly vm?: VirtualMachineSpec;
}

export type Flavour = "demo" | "tests" | "vms";

/** What a machine needs of its lab. */
export interface MachineSurroundings {
  readonly network: Network;
  readonly privateKeyFile: string;
  readonly layers: Layers;
  /** The machine's own directory. */
  readonly directory: string;
}

/** A Debian machine with systemd, sshd and an address of its own. See `Lab`. */
export class LabMachine {
  /** Of eth0, without prefix length. */
  readonly address: string;
  /** Of all interfaces, eth0's first, without prefix length. */
  readonly addresses: readonly string[];
  /** The hardware address of its interface eth0, the same at each power-on. */
  readonly mac: string;
  /** The lab's end of eth0's cable, a network interface in the lab's main namespace: a place for tcpdump. */
  readonly port: string;
  readonly isVirtualMachine: boolean;
  private readonly subnetAddresses: readonly SubnetAddress[];
  private readonly consoleFile: string;
  private readonly hardware: Hardware;

  /** Use `Lab.start` or `Lab.add`. */
  constructor(
    readonly name: string,
    spec: MachineSpec & { readonly flavour: Flavour },
    private readonly lab: MachineSurroundings,
  ) {
    if (!/^[a-z][a-z0-9-]{0,30}$/.test(name))
      throw new Error(`a machine's name is at most 31 characters of a-z, 0-9 and -, not "${name}"`);
    const first = new SubnetAddress(spec.address);
    this.subnetAddresses = [first, ...(spec.moreAddresses ?? []).map((text) => new SubnetAddress(text))];
    this.addresses = this.subnetAddresses.map(({ address }) => address);
    this.address = first.address;
    this.mac = macOf(this.address);
    this.port = portOf(this.address);
    this.consoleFile = join(lab.directory, "console.log");
    this.isVirtualMachine = spec.vm !== undefined;
    const machine = {
      name,
      hostname: spec.hostname ?? name,
      gateway: first.gateway,
      interfaces: () => this.interfaces(),
      directory: lab.directory,
      consoleFile: this.consoleFile,
      privateKeyFile: lab.privateKeyFile,
    };
    const { flavour, diskMiB = 1024, layers = [], prepare = "" } = spec;
    if (spec.vm && (spec.diskMiB ?? spec.layers ?? spec.prepare) !== undefined)
      throw new Error(`${name} is a virtual machine: diskMiB, layers and prepare are a container's`);
    this.hardware = spec.vm
      ? new VirtualMachine(machine, spec.vm, lab.layers)
      : new Container(machine, { flavour, diskMiB, layers, prepare }, lab.layers);
  }

  get isOn(): boolean {
    return this.hardware.isOn;
  }

  /**
   * Runs a script in the user's login shell on the machine. As in any shell, its status is its last command's:
   * begin with `set -e` where each one matters. Default time limit: 60 s, of a virtual machine 300 s.
   */
  ssh(script: string, options: SshOptions = {}): Promise<RunResult> {
    const patience = this.isVirtualMachine ? { connectSeconds: 30, timeoutSeconds: 300 } : {};
    return ssh(this.lab.privateKeyFile, this.address, script, { ...patience, ...options });
  }

  /**
   * The network is silent at once, then every process dies. The disk is kept. A container's also holds what was not synced: the
   * page cache is this computer's, which has no power cut. A virtual machine loses what it had not yet written.
   */
  async cutPower(): Promise<void> {
    if (!this.isOn) return;
    // The cables first: the kernel would say goodbye on each TCP connection of a dying process.
    for (const address of this.addresses)
      await this.lab.network.setCable(address, false).catch(() => undefined); // not yet there: nothing to silence
    await this.hardware.kill();
    await this.waitUntilOff(30);
  }

  /** Boots, with the cables plugged in, and waits until ssh lets every user in. */
  async powerOn(): Promise<void> {
    await this.switchOn();
    await this.untilReady();
  }

  /** As `powerOn()`, but does not wait. */
  async switchOn(): Promise<void> {
    if (this.isOn) throw new Error(`${this.name} is already on`);
    await this.hardware.start();
  }

  /** Waits until ssh lets every user in. */
  async untilReady(): Promise<void> {
    const isReady = async () => {
      if (!this.isOn) throw new Error(`${this.name} went off while it booted`);
      return (await greetsSsh(this.address)) && (await this.hardware.isBooted());
    };
    try {
      const message = () => `${this.name} does not answer ssh at ${this.address}`;
      await waitUntil(isReady, this.hardware.bootSeconds, message, this.isVirtualMachine ? 100 : 25);
    } catch (error) {
      throw await this.withConsole(error as Error);
    }
  }

  /** A clean shutdown; after 180 s (a virtual machine: 300 s) its power is cut and it fails. */
  async shutdown(): Promise<void> {
    if (!this.isOn) return;
    try {
      await this.hardware.requestShutdown();
      await this.waitUntilOff(this.isVirtualMachine ? 300 : 180);
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

  /** Pulls a cable: the interface, eth0 if no other address of the machine is given, loses its carrier. */
  unplug(address = this.address): Promise<void> {
    return this.setCable(address, false);
  }

  plug(address = this.address): Promise<void> {
    return this.setCable(address, true);
  }

  /**
   * A block device of this computer appears on the machine, at once and at each later power-on, until it is unplugged. A virtual
   * machine has its `dataDisks` instead.
   */
  plugDisk(device: string, path: string): Promise<void> {
    return this.hardware.plugDisk(device, path);
  }

  /** Gone, if it was there: what is mounted stays so. */
  unplugDisk(path: string): Promise<void> {
    return this.hardware.unplugDisk(path);
  }

  /** The first of a virtual machine's `dataDisks` gets larger, also while it runs. */
  growDataDisk(sizeMiB: number): Promise<void> {
    return this.hardware.growDataDisk(sizeMiB);
  }

  /** Leaves no free block on the root file system: ENOSPC, for root too, until `freeDisk()`. */
  fillDisk(): Promise<void> {
    return this.hardware.fillDisk();
  }

  freeDisk(): Promise<void> {
    return this.hardware.freeDisk();
  }

  /**
   * Resident memory of all its processes, MiB: the sum of their proportional set sizes, in which memory that is
   * shared, such as libraries, is split between the processes that share it, also those of other machines. Its
   * file cache is not included. Of a virtual machine: QEMU's, which includes all that the machine ever used. 0 when off.
   */
  memoryMiB(): Promise<number> {
    return this.hardware.memoryMiB();
  }

  /** The last lines of its console, which shows what failed at boot. */
  async consoleTail(lines = 30): Promise<string> {
    const text = await readFile(this.consoleFile, "utf8").catch(() => "");
    return text.trimEnd().split("\n").slice(-lines).join("\n");
  }

  /** For `Lab`: makes all that a first power-on needs. */
  async create(): Promise<void> {
    for (const subnetAddress of this.subnetAddresses) await this.lab.network.addSubnet(subnetAddress);
    await mkdir(this.lab.directory, { recursive: true });
    await this.hardware.create();
  }

  /** For `Lab`: power off, disk gone. */
  async destroy(): Promise<void> {
    await this.cutPower();
    await this.hardware.destroy();
    await rm(this.lab.directory, { recursive: true, force: true });
  }

  private interfaces(): readonly Interface[] {
    return this.subnetAddresses.map(({ address, prefix }) => ({
      address,
      prefix,
      mac: macOf(address),
      port: portOf(address),
      bridge: this.lab.network.bridgeOf(address),
    }));
  }

  private async setCable(address: string, plugged: boolean): Promise<void> {
    const index = this.addresses.indexOf(address);
    if (index < 0) throw new Error(`${this.name} has ${this.addresses.join(" and ")}, not ${address}`);
    await this.lab.network.setCable(address, plugged);
    await this.hardware.setCarrier(index, plugged);
  }

  private waitUntilOff(seconds: number): Promise<void> {
    return waitUntil(
      () => !this.isOn,
      seconds,
      () => `${this.name} does not go off`,
    );
  }

  private async withConsole(error: Error): Promise<Error> {
    const console = (await this.consoleTail()) || "(empty)";
    return new Error(`${error.message}. Its console:\n${console}`);
  }
}
