import { existsSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { run } from "./run";
import { macOf, portOf, type SubnetAddress } from "./subnet";

interface Bridge {
  readonly name: string;
  readonly address: SubnetAddress;
  readonly ready: Promise<void>;
}

/**
 * The lab's network: a bridge for each subnet in the lab's main namespace, which holds the first address of
 * each subnet and routes between them. It plays the switches and the router of a data centre or of a VPC.
 */
export class Network {
  private readonly bridges = new Map<string, Bridge>();
  /** From which address nothing must reach which. */
  private partitions: (readonly [string, string])[] = [];

  static async create(): Promise<Network> {
    await writeFile("/proc/sys/net/ipv4/ip_forward", "1");
    // Where docker has loaded br_netfilter, IP rules would also see packets between two machines of a subnet.
    for (const family of ["arp", "ip", "ip6"]) {
      const setting = `/proc/sys/net/bridge/bridge-nf-call-${family}tables`;
      if (existsSync(setting)) await writeFile(setting, "0");
    }
    return new Network();
  }

  /** The name of the bridge of this address's subnet. Throws if the lab has no such subnet. */
  bridgeOf(address: string): string {
    for (const bridge of this.bridges.values()) if (bridge.address.contains(address)) return bridge.name;
    throw new Error(`no subnet of this lab has ${address}`);
  }

  /** Makes the bridge of the address's subnet, unless there is one already. */
  async addSubnet(address: SubnetAddress): Promise<void> {
    if (address.address === address.gateway)
      throw new Error(
        `${address.address} is its subnet's first address, which the lab's main namespace holds`,
      );
    let bridge = this.bridges.get(address.subnet);
    if (!bridge) {
      const name = `br-${this.bridges.size}`;
      bridge = { name, address, ready: createBridge(name, address) };
      this.bridges.set(address.subnet, bridge);
    }
    await bridge.ready;
  }

  /** Pulls or plugs the cable of the machine with this address. */
  async setCable(address: string, plugged: boolean): Promise<void> {
    await run("ip", ["link", "set", portOf(address), plugged ? "up" : "down"]);
  }

  /** Drops every packet from the one group of addresses to the other, in addition to earlier partitions. */
  async cut(from: readonly string[], to: readonly string[]): Promise<void> {
    for (const a of from) for (const b of to) this.partitions.push([a, b]);
    await this.applyPartitions();
  }

  async heal(): Promise<void> {
    this.partitions = [];
    await this.applyPartitions();
  }

  async destroy(): Promise<void> {
    await this.heal();
    for (const bridge of this.bridges.values()) await run("ip", ["link", "delete", bridge.name]);
    this.bridges.clear();
  }

  /**
   * Packets are told apart by the cables they come and go by, not by their addresses, so that ARP, VRRP and
   * virtual addresses are cut as well. A packet is marked where it enters the first bridge, since after the
   * router nothing else tells which cable it came by; the mark stays with it up to the last bridge.
   */
  private async applyPartitions(): Promise<void> {
    const marks = new Map([...new Set(this.partitions.flat())].map((address, index) => [address, index + 1]));
    const origins = [...marks].map(([address, mark]) => `"${portOf(address)}" : ${mark}`);
    const cuts = new Set(this.partitions.map(([from, to]) => `${marks.get(from)} . "${portOf(to)}"`));
    const table = `table bridge partitions {
      map origins { type ifname : mark; elements = { ${origins.join(", ")} } }
      set cuts { type mark . ifname; elements = { ${[...cuts].join(", ")} } }
      chain arriving { type filter hook prerouting priority -300; meta mark set iifname map @origins; }
      chain bridged { type filter hook forward priority 0; meta mark . oifname @cuts drop; }
      chain routed { type filter hook output priority 0; meta mark . oifname @cuts drop; }
    }`;
    // The first line makes the deletion succeed also where there is no table yet.
    const removal = "table bridge partitions\ndelete table bridge partitions\n";
    await run("nft", ["-f", "-"], { input: removal + (this.partitions.length ? table : "") });
  }
}

async function createBridge(name: string, address: SubnetAddress): Promise<void> {
  // A fixed MAC: otherwise the bridge takes its lowest port's, and the machines' ARP caches are wrong as soon as
  // one comes or goes. No multicast snooping: a plain switch floods.
  const input = `link add ${name} address ${macOf(address.gateway)} type bridge forward_delay 0 stp_state 0 mcast_snooping 0
address add ${address.gateway}/${address.prefix} broadcast + dev ${name}
link set ${name} up
`;
  await run("ip", ["-batch", "-"], { input });
}
