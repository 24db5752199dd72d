import { mkdir } from "node:fs/promises";
import { basename, join } from "node:path";
import type { Flavour } from "./machine";
import { run } from "./run";

/** The read-only layers of the machines' root file systems, as root-file-system.sh has built them. */
export class Layers {
  /** Source directory to mount. */
  private readonly mounts = new Map<string, Promise<string>>();

  constructor(private readonly directory: string) {}

  /** The layers of this flavour, and others on top, for overlayfs: topmost first, separated by ":". */
  async of(flavour: Flavour, more: readonly string[] = []): Promise<string> {
    const { stdout } = await run(join(__dirname, "root-file-system.sh"), ["--layers", flavour]);
    const sources = [...more, ...stdout.trim().split("\n")];
    return (await Promise.all(sources.map((source) => this.mount(source)))).join(":");
  }

  /** The directory of the virtual machines' image: vmlinuz, initrd, root.ext4. */
  async image(): Promise<string> {
    const { stdout } = await run(join(__dirname, "root-file-system.sh"), ["--image"]);
    return this.mount(stdout.trim());
  }

  async destroy(): Promise<void> {
    for (const mount of this.mounts.values()) await run("umount", ["--lazy", await mount]);
    this.mounts.clear();
  }

  /**
   * Through a read-only mount of its own: nothing can write to the kept root file system by accident, a build
   * that removes old ones sees that it is in use, and its path is free of characters that overlayfs reserves.
   */
  private mount(source: string): Promise<string> {
    let mount = this.mounts.get(source);
    if (!mount) {
      mount = bindReadOnly(source, join(this.directory, basename(source)));
      this.mounts.set(source, mount);
    }
    return mount;
  }
}

async function bindReadOnly(source: string, target: string): Promise<string> {
  await mkdir(target, { recursive: true });
  await run("mount", ["--bind", "-o", "ro", source, target]);
  return target;
}
