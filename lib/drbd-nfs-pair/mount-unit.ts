import { bracketed } from "../net";

export interface MountModel {
  readonly server: string;
  readonly path: string;
  /** Where it is mounted. */
  readonly where: string;
  readonly readOnly: boolean;
}

/**
 * An export on a client: pure. `hard`: while the pair fails over, whoever reads or writes waits, and sees no error. `timeo` in
 * tenths of a second: how soon it asks again.
 */
export function renderMountUnit({ server, path, where, readOnly }: MountModel): string {
  return [
    "# Managed by cdktf-ha-clusters.",
    "[Unit]",
    `Description=${path} of ${server}`,
    "Wants=network-online.target",
    "After=network-online.target",
    "",
    "[Mount]",
    `What=${bracketed(server)}:${path}`,
    `Where=${where}`,
    "Type=nfs4",
    `Options=${readOnly ? "ro" : "rw"},vers=4.2,proto=tcp,hard,timeo=50,retrans=2,noatime,_netdev`,
    "TimeoutSec=120",
    "",
    "[Install]",
    "WantedBy=remote-fs.target",
    "",
  ].join("\n");
}
