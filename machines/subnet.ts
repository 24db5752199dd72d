/** An IPv4 address within its subnet, for instance 10.77.0.11/24. */
export class SubnetAddress {
  /** The address without prefix length. */
  readonly address: string;
  readonly prefix: number;
  private readonly value: number;

  constructor(text: string) {
    const match = /^(\d+)\.(\d+)\.(\d+)\.(\d+)\/(\d+)$/.exec(text);
    const octets = match?.slice(1, 5).map(Number) ?? [];
    this.prefix = Number(match?.[5]);
    if (!match || octets.some((octet) => octet > 255) || this.prefix < 1 || this.prefix > 30)
      throw new Error(`not an IPv4 address with prefix length 1 to 30, such as 10.77.0.11/24: ${text}`);
    this.address = octets.join(".");
    this.value = parse(this.address);
  }

  toString(): string {
    return `${this.address}/${this.prefix}`;
  }

  /** The subnet, for instance 10.77.0.0/24. */
  get subnet(): string {
    return `${dotted(this.network)}/${this.prefix}`;
  }

  /** The subnet's first address, for instance 10.77.0.1: its router's. */
  get gateway(): string {
    return dotted(this.network + 1);
  }

  /** Whether the subnet has this address. */
  contains(address: string): boolean {
    return networkOf(parse(address), this.prefix) === this.network;
  }

  private get network(): number {
    return networkOf(this.value, this.prefix);
  }
}

/** The same MAC for the same address, always: 52:54 and then the address. */
export function macOf(address: string): string {
  return ["52", "54", ...octetsInHex(address)].join(":");
}

/** The same interface name for the same address, always; within the 15 characters that Linux allows. */
export function portOf(address: string): string {
  return `port-${octetsInHex(address).join("")}`;
}

function octetsInHex(address: string): string[] {
  return address.split(".").map((octet) => Number(octet).toString(16).padStart(2, "0"));
}

// No bit operators: JavaScript's are signed.
function parse(address: string): number {
  return address.split(".").reduce((value, octet) => value * 256 + Number(octet), 0);
}

function dotted(value: number): string {
  return [24, 16, 8, 0].map((shift) => Math.floor(value / 2 ** shift) % 256).join(".");
}

function networkOf(value: number, prefix: number): number {
  const size = 2 ** (32 - prefix);
  return Math.floor(value / size) * size;
}
