import { bracketed } from "../net";

export interface MountModel {
  readonly server: string;
  readonly path: string;
  /** Where it is mounted. */
  readonly where: string;
  readonly readOnly: boolean;
}

/** What systemd calls the units of a mount. */
export interface MountUnits {
  readonly mount: string;
  readonly again: string;
}

/** For paths in which nothing has to be escaped. */
export function mountUnits(where: string): MountUnits {
  const name = where.slice(1).replaceAll("/", "-");
  return { mount: `${name}.mount`, again: `${name}-again.service` };
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
    `OnFailure=${mountUnits(where).again}`,
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

/**
 * systemd tries a mount once: who boots while the pair is away would do without until somebody comes. Not by a start of its own after each
 * failure: one that comes while the unit still ends is none. Pure.
 */
export function renderMountAgain({ mount }: MountUnits): string {
  return [
    "# Managed by cdktf-ha-clusters.",
    "[Unit]",
    `Description=${mount} once more`,
    "",
    "[Service]",
    "# as long as it has failed: whoever stops it, or takes it away, is left alone",
    `ExecStart=/bin/sh -c 'while systemctl is-failed --quiet ${mount}; do sleep 15; systemctl is-failed --quiet ${mount} && systemctl start ${mount}; done'`,
    "",
  ].join("\n");
}
