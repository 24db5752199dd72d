import { notedAs, timerFile } from "../push/scheduled";
import type { Service, ServiceDescription } from "../push/service";

export interface CertificateModel {
  /** Name of the service and of its units. */
  readonly name: string;
  /** Whose certificate: `this member of etcd`. */
  readonly of: string;
  /** Lines that say when there is anything to do. */
  readonly when: string;
  readonly command: string;
  /** What its words are known by in the journal. */
  readonly identifier: string;
}

/** A node that issues itself its certificate does so again before it ends: daily, where the old one ends within a month. */
export class CertificateService implements Service {
  readonly name: string;

  constructor(private readonly model: CertificateModel) {
    this.name = model.name;
  }

  describe(): ServiceDescription {
    const { name, of, when, command, identifier } = this.model;
    const description = `New certificate for ${of}, a month before the old one ends`;
    return {
      files: [
        {
          path: `/etc/systemd/system/${name}.service`,
          text: `# Managed by cdktf-ha-clusters.
[Unit]
Description=${description}
${when}
[Service]
Type=oneshot
${notedAs(identifier)}ExecStart=${command}
`,
          onChange: "none",
        },
        timerFile(name, description, "daily"),
      ],
      units: [`${name}.timer`],
    };
  }
}
