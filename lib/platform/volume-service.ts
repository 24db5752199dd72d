import { basename, join } from "node:path";
import { renderFacts } from "../facts";
import type { Service, ServiceDescription, ServiceFile } from "../push/service";
import { scriptText } from "../script-text";
import type { AttachedVolume } from "./aws/data-volume";
import type { Machine } from "./machine";

const DIRECTORY = "/srv/volume";
const LABEL = "ha-data";

/** The machine's data volume, and the directories that lie on it instead of on the disk that goes with the instance. */
export class VolumeService implements Service {
  readonly name = "volume";

  /** @param kept absolute paths without a dash; each lies on the volume under its last name */
  constructor(private readonly kept: () => readonly string[]) {}

  describe({ aws }: Machine): ServiceDescription {
    const volume = aws!.dataVolume!;
    const kept = [...this.kept()].sort();
    return {
      packages: [XFS],
      onPackageChange: "none",
      files: [
        volumeMount(volume, DIRECTORY, "Data volume"),
        ...kept.map(keptMount),
        ...VOLUME_PROGRAMS,
        {
          path: "/etc/cdktf-ha/volume",
          text: renderFacts("what lies on the data volume", {
            VOLUME_ID: volume.id,
            VOLUME_DEVICE: volume.device,
            VOLUME_LABEL: LABEL,
            VOLUME_DIRECTORY: DIRECTORY,
            VOLUME_UNIT: mountUnit(DIRECTORY),
            // a volume that grows is a change that is pushed: the file system grows with it
            VOLUME_GIB: volume.sizeGiB,
            VOLUME_KEPT: kept.map((path) => `${basename(path)} ${path} ${mountUnit(path)}`).join("\n"),
          }),
          onChange: "none",
        },
      ],
      hooks: {
        activate: script("kept.sh"),
        healthy: [DIRECTORY, ...kept].map((path) => `mountpoint --quiet ${path}`).join(" && "),
      },
      healthyWithin: 60,
    };
  }
}

/** Makes and grows the file system. */
export const XFS = { name: "xfsprogs", unlessCommand: "mkfs.xfs" };

/** What mounts a volume, and what gives its files to this machine's users: see there. */
export const VOLUME_PROGRAMS: readonly ServiceFile[] = ["volume.sh", "adopt.sh"].map((file) => ({
  path: `/usr/local/lib/cdktf-ha/${file}`,
  text: script(file),
  mode: "0755",
  onChange: "none",
}));

/**
 * By the path of the device and not by a label: systemd waits for a device that a booting machine has not found yet, and a
 * snapshot's copy has the same label.
 */
export function volumeMount({ device }: AttachedVolume, where: string, description: string): ServiceFile {
  return mount(description, `What=${device}\nWhere=${where}\nType=xfs\nOptions=noatime`, where);
}

function keptMount(where: string): ServiceFile {
  return mount(
    `${where} on the data volume`,
    `What=${DIRECTORY}/${basename(where)}\nWhere=${where}\nType=none\nOptions=bind`,
    where,
  );
}

function mount(description: string, what: string, where: string): ServiceFile {
  return {
    path: `/etc/systemd/system/${mountUnit(where)}`,
    text: `# Managed by cdktf-ha-clusters.
[Unit]
Description=${description}

[Mount]
${what}

[Install]
WantedBy=multi-user.target
`,
    onChange: "none",
  };
}

/** The unit's name is the path's, as systemd wants it; for paths in which nothing has to be escaped. */
export function mountUnit(path: string): string {
  return `${path.slice(1).replaceAll("/", "-")}.mount`;
}

function script(file: string): string {
  return scriptText(join(__dirname, "on-machine", file));
}
