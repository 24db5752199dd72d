/** Where a node keeps what it has fetched: read by Squid once, at its start. Pure. */
export interface SquidStore {
  readonly workers: number;
  /** Nothing lets the machine decide: see on-machine/sizes.sh. */
  readonly memoryMiB?: number;
  readonly disk?: {
    readonly kind: "aufs" | "rock";
    readonly directory: string;
    /** Nothing lets the machine decide. */
    readonly sizeMiB?: number;
  };
}

/** Written by the machine for itself. */
export const SIZES_CONF = "/etc/squid/cdktf-ha-sizes.conf";
/** What on-machine/sizes.sh reads. */
export const WANTED_SIZES = "/etc/squid/cdktf-ha-wanted-sizes";

export function renderStoreConf({ workers, memoryMiB, disk }: SquidStore): string {
  const auto = memoryMiB === undefined || (disk !== undefined && disk.sizeMiB === undefined);
  const lines = [
    "# Rendered by cdktf-ha-clusters. A change by hand is kept aside and replaced at the next apply.",
    `workers ${workers}`,
    ...(memoryMiB === undefined ? [] : [`cache_mem ${memoryMiB} MB`]),
    ...(disk?.sizeMiB === undefined ? [] : [cacheDir(disk, disk.sizeMiB)]),
    ...(auto ? ["# sizes that follow from this machine", `include ${SIZES_CONF}`] : []),
  ];
  return lines.map((line) => `${line}\n`).join("");
}

/** For the machine: `auto` where it decides, and what it refuses where it has less than that. */
export function renderWantedSizes({ memoryMiB, disk }: SquidStore): string {
  return [
    `memory=${memoryMiB ?? "auto"}`,
    `kind=${disk?.kind ?? "none"}`,
    `directory=${disk?.directory ?? "/"}`,
    `disk=${disk === undefined ? 0 : (disk.sizeMiB ?? "auto")}`,
    "",
  ].join("\n");
}

function cacheDir({ kind, directory }: NonNullable<SquidStore["disk"]>, sizeMiB: number): string {
  return `cache_dir ${kind} ${directory} ${sizeMiB}${kind === "aufs" ? " 16 256" : ""}`;
}
