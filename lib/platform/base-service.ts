import { join } from "node:path";
import { renderNftables } from "../firewall/nftables";
import { pushProgramOf } from "../push/program";
import type { Service, ServiceDescription, ServiceFile } from "../push/service";
import { scriptText } from "../script-text";
import type { Machine } from "./machine";

/** Name of what every machine has: its firewall and the `cdktf-ha` command. */
export const BASE_SERVICE = "machine";

const FIREWALL_FILE = "/etc/cdktf-ha/firewall.nft";
const FIREWALL_UNIT = "cdktf-ha-firewall.service";
const RECOVER_UNIT = "cdktf-ha-recover.service";

/** What a machine has before any service. */
export class BaseService implements Service {
  readonly name = BASE_SERVICE;

  describe(machine: Machine): ServiceDescription {
    const files: ServiceFile[] = [
      {
        path: "/usr/local/sbin/cdktf-ha",
        text: `#!/bin/bash\n${pushProgramOf(machine)}\nHA_PROGRAM=$0\nha_main "$@"\n`,
        mode: "0755",
        onChange: "none",
      },
      { path: `/etc/systemd/system/${RECOVER_UNIT}`, text: RECOVER_UNIT_TEXT, onChange: "none" },
    ];
    if (!machine.platform.hostFirewall) {
      return { files, bootUnits: [RECOVER_UNIT], services: machine.serviceNames };
    }
    return {
      packages: [{ name: "nftables" }],
      files: [
        ...files,
        { path: FIREWALL_FILE, text: renderNftables(machine.hostRules()), mode: "0600" },
        { path: `/etc/systemd/system/${FIREWALL_UNIT}`, text: FIREWALL_UNIT_TEXT, onChange: "none" },
        {
          path: "/etc/systemd/system/nftables.service.d/cdktf-ha.conf",
          text: NFTABLES_TEXT,
          onChange: "none",
        },
      ],
      units: [FIREWALL_UNIT],
      bootUnits: [RECOVER_UNIT],
      hooks: {
        check: `nft --check --file ${FIREWALL_FILE}`,
        activate: scriptText(join(__dirname, "on-machine/activate-firewall.sh")),
        healthy: scriptText(join(__dirname, "on-machine/firewall-healthy.sh")),
      },
      checker: "nft --check",
      confirmWithin: machine.platform.firewallConfirmWithin,
      services: machine.serviceNames,
    };
  }
}

/** A power cut in the middle of a push must not boot into half a config: before anything starts, files go back. */
const RECOVER_UNIT_TEXT = `[Unit]
Description=Put back the last good files after a push that was interrupted
DefaultDependencies=no
After=local-fs.target
Before=sysinit.target
ConditionPathExistsGlob=/var/lib/cdktf-ha/services/*/phase

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/usr/local/sbin/cdktf-ha recover

[Install]
WantedBy=sysinit.target
`;

/** Debian's own /etc/nftables.conf begins by flushing everybody's rules: ours come back after it. */
const NFTABLES_TEXT = `[Service]
ExecStartPost=-/usr/sbin/nft --file ${FIREWALL_FILE}
ExecReload=-/usr/sbin/nft --file ${FIREWALL_FILE}
`;

const FIREWALL_UNIT_TEXT = `[Unit]
Description=Firewall of cdktf-ha-clusters
DefaultDependencies=no
After=local-fs.target ${RECOVER_UNIT}
Before=network-pre.target
Wants=network-pre.target

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/usr/sbin/nft --file ${FIREWALL_FILE}
ExecReload=/usr/sbin/nft --file ${FIREWALL_FILE}
ExecStop=/usr/sbin/nft delete table inet cdktf_ha

[Install]
WantedBy=sysinit.target
`;
