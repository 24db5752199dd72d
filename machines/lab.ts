import { existsSync } from "node:fs";
import { mkdir, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { Layers } from "./layers";
import { LabMachine, type Flavour, type MachineSpec } from "./machine";
import { Network } from "./network";
import { run, type RunOptions, type RunResult } from "./run";
import { SubnetAddress } from "./subnet";

export { LabMachine, type Flavour, type MachineSpec } from "./machine";
export type { DataDisk, VirtualMachineSpec } from "./virtual-machine";
export { RunError, type RunOptions, type RunResult } from "./run";
export type { SshOptions } from "./ssh";

export interface PartitionOptions {
  /** Drops only what the first group sends to the second. Default: false, both ways. */
  readonly oneWay?: boolean;
  /** Cuts only cables in this subnet, for instance 10.78.0.0/24, where machines have several. Default: all cables. */
  readonly subnet?: string;
}

export interface LabOptions {
  /** The root file system of machines that do not say. Default: demo. */
  readonly flavour?: Flavour;
}

/** Made by sealed.sh: a tmpfs of the lab's own. */
const SEALED_DIRECTORY = "/run/ha-lab";

/**
 * Several Debian machines on this computer, each with its own systemd, sshd, address, cable and disk. This
 * process, inside machines/sealed.sh, is the operator's computer: it holds the first address of each subnet.
 *
 * @example
 *   const lab = await Lab.start({ a: { address: "10.77.0.11/24" }, b: { address: "10.77.0.12/24" } });
 *   await lab.machine("a").ssh("systemctl start haproxy");
 *   await lab.machine("a").cutPower();
 *   await lab.stop();
 */
export class Lab {
  /** Files of this lab; a tmpfs that vanishes with the sealed namespace. For a test's own files, too. */
  readonly directory = join(SEALED_DIRECTORY, "lab");
  /** An ed25519 key, made for this lab, for root, admin and nosudo on every machine. */
  readonly privateKeyFile = join(this.directory, "id_ed25519");
  private readonly machines = new Map<string, LabMachine>();
  private readonly layers = new Layers(join(this.directory, "layers"));

  private constructor(
    private readonly network: Network,
    private readonly flavour: Flavour,
  ) {}

  /** Boots all machines in parallel and waits until each answers ssh. There is one lab at a time. */
  static async start(machines: Record<string, MachineSpec>, options: LabOptions = {}): Promise<Lab> {
    if (!existsSync(SEALED_DIRECTORY) || !process.env.HA_LAB)
      throw new Error("a lab needs a sealed namespace: run this command by machines/sealed.sh");
    const lab = new Lab(await Network.create(), options.flavour ?? "demo");
    if (existsSync(lab.directory))
      throw new Error(
        "another lab was not stopped in this sealed namespace; a sealed.sh each allows several",
      );
    await mkdir(lab.directory);
    try {
      await run("ssh-keygen", ["-q", "-t", "ed25519", "-N", "", "-C", "operator", "-f", lab.privateKeyFile]);
      // In this order, so that the bridges' names do not depend on which machine is faster.
      for (const { address, moreAddresses = [] } of Object.values(machines))
        for (const text of [address, ...moreAddresses]) await lab.network.addSubnet(new SubnetAddress(text));
      await settleAll(Object.entries(machines).map(([name, spec]) => lab.add(name, spec)));
    } catch (error) {
      await lab.stop().catch(() => undefined); // the first failure is the one to tell
      throw error;
    }
    return lab;
  }

  /** Of all machines, on or off. */
  get names(): readonly string[] {
    return [...this.machines.keys()];
  }

  /** Throws if there is none of this name. */
  machine(name: string): LabMachine {
    const machine = this.machines.get(name);
    if (!machine)
      throw new Error(
        `no machine "${name}" in this lab, only ${[...this.machines.keys()].join(", ") || "none"}`,
      );
    return machine;
  }

  /** Boots one more machine and waits until it answers ssh. */
  async add(name: string, spec: MachineSpec): Promise<LabMachine> {
    const { network, layers, privateKeyFile } = this;
    const directory = join(this.directory, "machines", name);
    const withFlavour = { ...spec, flavour: spec.flavour ?? this.flavour };
    const machine = new LabMachine(name, withFlavour, { network, layers, privateKeyFile, directory });
    for (const other of this.machines.values())
      if (other.name === name || other.addresses.some((address) => machine.addresses.includes(address)))
        throw new Error(`this lab already has a machine ${other.name} at ${other.address}`);
    this.machines.set(name, machine);
    try {
      await checkInotify([...this.machines.values()].filter((each) => !each.isVirtualMachine).length);
      await machine.create();
      await machine.powerOn();
    } catch (error) {
      await this.remove(name).catch(() => undefined); // the first failure is the one to tell
      throw error;
    }
    return machine;
  }

  /** Power off, disk gone. */
  async remove(name: string): Promise<void> {
    await this.machine(name).destroy();
    this.machines.delete(name);
  }

  /**
   * Drops every packet between the two groups of machines, both ways, within a subnet and across subnets, until
   * `heal()`. Several partitions add up. The operator still reaches all machines; a machine keeps its carrier.
   */
  async partition(
    groupA: readonly string[],
    groupB: readonly string[],
    { oneWay = false, subnet }: PartitionOptions = {},
  ): Promise<void> {
    const addresses = (names: readonly string[]) =>
      names.flatMap((name) =>
        this.machine(name).addresses.filter((address) => !subnet || isIn(subnet, address)),
      );
    const [a, b] = [addresses(groupA), addresses(groupB)];
    await this.network.cut(a, b);
    if (!oneWay) await this.network.cut(b, a);
  }

  /** Ends all partitions. */
  async heal(): Promise<void> {
    await this.network.heal();
  }

  /** The bridge (br-0, br-1, ...) in the lab's main namespace of the subnet that has this address. */
  bridgeOf(address: string): string {
    return this.network.bridgeOf(address);
  }

  /** Runs a command in the lab's main namespace, the operator's computer, without a shell. */
  run(command: string, args: readonly string[] = [], options?: RunOptions): Promise<RunResult> {
    return run(command, args, options);
  }

  /** Power off, everything gone. */
  async stop(): Promise<void> {
    await settleAll([...this.machines.values()].map((machine) => machine.destroy()));
    this.machines.clear();
    await this.network.destroy();
    await this.layers.destroy();
    await rm(this.directory, { recursive: true, force: true });
  }
}

/**
 * Each systemd holds some 7 inotify instances, which Linux counts for root as a whole, by default to 128. Beyond,
 * machines boot, but with failed units. Other labs of this computer count, too, but cannot be seen from here.
 */
async function checkInotify(machines: number): Promise<void> {
  const limit = Number(await readFile("/proc/sys/fs/inotify/max_user_instances", "utf8"));
  if (machines * 7 > limit)
    throw new Error(
      `${machines} machines need about ${machines * 7} inotify instances, this computer allows ${limit}: ` +
        "raise it with sysctl fs.inotify.max_user_instances=1024",
    );
}

function isIn(subnet: string, address: string): boolean {
  return new SubnetAddress(subnet).contains(address);
}

/** Waits for all, also where some fail, then throws the first failure. */
async function settleAll(promises: Promise<unknown>[]): Promise<void> {
  for (const result of await Promise.allSettled(promises))
    if (result.status === "rejected") throw result.reason;
}
