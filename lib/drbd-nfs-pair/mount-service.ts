import type { Service, ServiceDescription } from "../push/service";
import { shellQuoted } from "../script-text";
import {
  mountUnits,
  renderMountAgain,
  renderMountUnit,
  type MountModel,
  type MountUnits,
} from "./mount-unit";

/** An export, mounted on a client's machine. */
export class MountService implements Service {
  readonly name: string;
  private readonly units: MountUnits;

  constructor(
    private readonly model: () => MountModel & { readonly where: string },
    where: string,
  ) {
    this.units = mountUnits(where);
    this.name = `nfs-${this.units.mount
      .replace(/\.mount$/, "")
      .replace(/[^a-zA-Z0-9-]/g, "-")
      .toLowerCase()}`;
  }

  describe(): ServiceDescription {
    const model = this.model();
    const where = shellQuoted(model.where);
    const { mount, again } = this.units;
    return {
      packages: [{ name: "nfs-common", unlessCommand: "mount.nfs4" }],
      files: [
        {
          path: `/etc/systemd/system/${mount}`,
          text: renderMountUnit(model),
          // whoever has files open there would lose them: it changes with the next mount
          onChange: "none",
        },
        { path: `/etc/systemd/system/${again}`, text: renderMountAgain(this.units), onChange: "none" },
      ],
      units: [mount],
      hooks: {
        healthy: `timeout 20 mountpoint --quiet ${where} && timeout 20 stat --file-system ${where} >/dev/null`,
      },
      healthyWithin: 120,
    };
  }
}
