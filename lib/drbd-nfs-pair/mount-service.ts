import type { Service, ServiceDescription } from "../push/service";
import { shellQuoted } from "../script-text";
import { renderMountUnit, type MountModel } from "./mount-unit";

/** An export, mounted on a client's machine. */
export class MountService implements Service {
  readonly name: string;
  private readonly unit: string;

  constructor(
    private readonly model: () => MountModel & { readonly where: string },
    where: string,
  ) {
    this.unit = unitOf(where);
    this.name = `nfs-${this.unit
      .replace(/\.mount$/, "")
      .replace(/[^a-zA-Z0-9-]/g, "-")
      .toLowerCase()}`;
  }

  describe(): ServiceDescription {
    const model = this.model();
    const where = shellQuoted(model.where);
    return {
      packages: [{ name: "nfs-common", unlessCommand: "mount.nfs4" }],
      files: [
        {
          path: `/etc/systemd/system/${this.unit}`,
          text: renderMountUnit(model),
          // whoever has files open there would lose them: it changes with the next mount
          onChange: "none",
        },
      ],
      units: [this.unit],
      hooks: {
        healthy: `timeout 20 mountpoint --quiet ${where} && timeout 20 stat --file-system ${where} >/dev/null`,
      },
      healthyWithin: 120,
    };
  }
}

/** systemd's name for what is mounted there; for paths in which nothing has to be escaped. */
function unitOf(where: string): string {
  return `${where.slice(1).replaceAll("/", "-")}.mount`;
}
