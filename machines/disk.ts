import { mkdir, statfs } from "node:fs/promises";
import { run } from "./run";

/** A machine's disk: a tmpfs that holds what the machine has changed in its root file system. */
export class Disk {
  private constructor(
    readonly directory: string,
    private readonly sizeMiB: number,
  ) {}

  static async create(directory: string, sizeMiB: number): Promise<Disk> {
    await mkdir(directory, { recursive: true });
    await run("mount", ["-t", "tmpfs", "-o", `mode=755,size=${sizeMiB}m`, "disk", directory]);
    return new Disk(directory, sizeMiB);
  }

  /**
   * Leaves no free block, for root either, by shrinking the tmpfs to what is in use: instantly, and without
   * using up this computer's memory.
   */
  async fill(): Promise<void> {
    for (let attempt = 1; ; attempt++) {
      const { blocks, bfree, bsize } = await statfs(this.directory);
      // A write in between makes it fail: a tmpfs cannot become smaller than its content. 0 would mean no limit.
      const { code, stderr } = await this.resize(`${Math.max(blocks - bfree, 1) * bsize}`);
      if (code === 0) return;
      if (attempt === 20) throw new Error(`cannot fill ${this.directory}: ${stderr.trim()}`);
    }
  }

  /** Gives back the free space. */
  async free(): Promise<void> {
    const { code, stderr } = await this.resize(`${this.sizeMiB}m`);
    if (code !== 0) throw new Error(`cannot free ${this.directory}: ${stderr.trim()}`);
  }

  async destroy(): Promise<void> {
    // Lazily: where a machine has just ended, its mount namespace may need a moment to go.
    await run("umount", ["--lazy", this.directory]);
  }

  private resize(size: string) {
    return run("mount", ["-o", `remount,size=${size}`, this.directory], { allowFailure: true });
  }
}
