import { createHash } from "node:crypto";

/** Whom the server takes a client's root for. */
export type Squash = "root" | "all" | "none";

export interface ExportModel {
  readonly path: string;
  readonly fsid: string;
  readonly readOnly: boolean;
  readonly squash: Squash;
  /** User and group of whoever is squashed. */
  readonly anonymous?: { readonly user: number; readonly group: number };
  readonly quotaGiB?: number;
  /** Networks, at least one. */
  readonly clients: readonly string[];
}

const SQUASH: Readonly<Record<Squash, string>> = {
  root: "root_squash",
  all: "all_squash",
  none: "no_root_squash",
};

/** What the NFS server offers to whom: pure. */
export function renderExports(exports: readonly ExportModel[], mountPoint: string): string {
  return [
    "# Managed by cdktf-ha-clusters.",
    ...exports.map((one) => {
      const options = [
        one.readOnly ? "ro" : "rw",
        "sync",
        "no_subtree_check",
        SQUASH[one.squash],
        ...(one.anonymous ? [`anonuid=${one.anonymous.user}`, `anongid=${one.anonymous.group}`] : []),
        // the same on both nodes, or handles that clients hold are stale after a failover
        `fsid=${one.fsid}`,
        // never the empty directory below, where the volume is not mounted
        `mountpoint=${mountPoint}`,
      ].join(",");
      return `${one.path} ${one.clients.map((client) => `${client}(${options})`).join(" ")}`;
    }),
    "",
  ].join("\n");
}

/** What the nodes know of each export's directory, a line each: quota in MiB or 0, the number by which the file system counts, path. Pure. */
export function renderExportList(exports: readonly ExportModel[]): string {
  return exports
    .map(({ path, quotaGiB = 0 }) => `${Math.ceil(1024 * quotaGiB)} ${projectOf(path)} ${path}\n`)
    .join("");
}

const hexOf = (name: string): string =>
  createHash("sha256").update(`cdktf-ha-clusters nfs export ${name}`).digest("hex");

/** A number that follows from the export's path, for XFS's project quotas: above 0. */
const projectOf = (path: string): number => (parseInt(hexOf(path).slice(0, 8), 16) % 0x7ffffffe) + 1;

/** An id that follows from the export's name, so it never changes and no two are alike. */
export function fsidOf(name: string): string {
  const hex = hexOf(name);
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20, 32)].join(
    "-",
  );
}
