/** What carries a `LabMachine`: a container or a virtual machine. */
export interface Hardware {
  readonly isOn: boolean;
  /** Time limit of a boot, seconds. */
  readonly bootSeconds: number;
  /** Makes all that a first power-on needs. */
  create(): Promise<void>;
  /** Switches on, with all cables plugged in, and does not wait. */
  start(): Promise<void>;
  /** Whether the boot is so far that users may log in. Asked once sshd greets. */
  isBooted(): Promise<boolean>;
  /** Every process dies. The cables are silent already. */
  kill(): Promise<void>;
  /** Asks for a clean shutdown and does not wait. */
  requestShutdown(): Promise<void>;
  /** An interface of the machine loses or gets its carrier, as far as the lab's end of the cable does not say so by itself. */
  setCarrier(index: number, carrier: boolean): Promise<void>;
  /** Resident memory of all its processes, MiB. */
  memoryMiB(): Promise<number>;
  plugDisk(device: string, path: string): Promise<void>;
  unplugDisk(path: string): Promise<void>;
  growDataDisk(sizeMiB: number): Promise<void>;
  fillDisk(): Promise<void>;
  freeDisk(): Promise<void>;
  /** Disk gone. It is off already. */
  destroy(): Promise<void>;
}

/** A network interface of a machine: eth0, eth1, ... */
export interface Interface {
  /** Without prefix length. */
  readonly address: string;
  readonly prefix: number;
  /** Hardware address, the same at each power-on. */
  readonly mac: string;
  /** The lab's end of its cable. */
  readonly port: string;
  /** The bridge where the cable ends. */
  readonly bridge: string;
}

/** What a container and a virtual machine are told. */
export interface HardwareSpec {
  readonly name: string;
  readonly hostname: string;
  /** The default gateway. */
  readonly gateway: string;
  /** In the order of their names. The bridges are there when `create` is called. */
  readonly interfaces: () => readonly Interface[];
  /** The machine's own directory. */
  readonly directory: string;
  readonly consoleFile: string;
  readonly privateKeyFile: string;
}

/** SIGKILL; to no effect where it has ended. */
export function kill(pid: number | undefined): void {
  try {
    if (pid) process.kill(pid, "SIGKILL");
  } catch {
    // It has just ended.
  }
}
