import { readFile } from "node:fs/promises";
import { join } from "node:path";
import type { Lab } from "./lab";
import { LabMachine } from "./machine";

export interface PortScanTargets {
  /** TCP ports; "all": 1 to 65535, which takes 2 to 10 s. Default: none. */
  readonly tcp?: readonly number[] | "all";
  /**
   * UDP ports. Default: none. Linux tells of one closed port a second only, after a first six: some 3 s, and
   * longer by a second for each further closed one.
   */
  readonly udp?: readonly number[];
  /** IP protocols, for instance 112, VRRP. Default: none. Takes as long as UDP. */
  readonly protocols?: readonly number[];
}

export interface PortStates {
  /** Something listens there: a SYN-ACK; an answer. */
  readonly open: number[];
  /** Nothing listens there, and no firewall hides that: a RST; ICMP port or protocol unreachable. */
  readonly closed: number[];
  /**
   * Silence: a firewall drops it. For UDP and IP protocols it can also be a listener that does not answer what it
   * does not understand.
   */
  readonly filtered: number[];
}

export interface PortScanResult {
  readonly tcp: PortStates;
  readonly udp: PortStates;
  readonly protocols: PortStates;
}

/** Which ports of an IPv4 address are open, closed or filtered, as seen from a machine or from the operator. */
export async function portScan(
  from: LabMachine | Lab,
  address: string,
  { tcp = [], udp = [], protocols = [] }: PortScanTargets,
): Promise<PortScanResult> {
  const tcpPorts = tcp === "all" ? Array.from({ length: 65535 }, (_, index) => index + 1) : tcp;
  const args = [address];
  // The shortest first: what Linux spends on ICMP errors for UDP would be missing for the protocols.
  if (protocols.length) args.push(`protocol=${protocols.join()}`);
  if (udp.length) args.push(`udp=${udp.join()}`);
  if (tcpPorts.length) args.push(`tcp=${tcp === "all" ? "1-65535" : tcpPorts.join()}`);

  const script = await readFile(join(__dirname, "in-machine", "port-scan.py"), "utf8");
  const options = {
    input: script,
    timeoutSeconds: (tcp === "all" ? 600 : 60) + udp.length + protocols.length,
  };
  const { stdout } =
    from instanceof LabMachine
      ? await from.ssh(`python3 - ${args.join(" ")}`, options)
      : await from.run("python3", ["-", ...args], options);

  const lines = stdout.trim().split("\n");
  const states = (kind: string, numbers: readonly number[]): PortStates => {
    const found = (state: string) => {
      const line = lines.find((candidate) => candidate.startsWith(`${kind} ${state} `));
      return line?.split(" ")[2]?.split(",").map(Number) ?? [];
    };
    const open = found("open");
    const closed = found("closed");
    const answered = new Set([...open, ...closed]);
    return { open, closed, filtered: numbers.filter((number) => !answered.has(number)) };
  };
  return { tcp: states("tcp", tcpPorts), udp: states("udp", udp), protocols: states("protocol", protocols) };
}
