import type { Machine } from "../platform/machine";
import type { Secret } from "../secret/secret";

/** What happens to the daemon when the file changes. */
export type OnChange = "reload" | "restart" | "none";

export interface ServiceFile {
  /** Absolute path on the machine. */
  readonly path: string;
  /** Content, to the byte. May hold placeholders of secrets and facts, and values that only Terraform knows. */
  readonly text: string;
  /** @default "0644", or "0640" where the text holds a secret */
  readonly mode?: string;
  /** @default "root" */
  readonly owner?: string;
  /** @default "root" */
  readonly group?: string;
  /** @default "reload" - a reload keeps connections; only what a daemon reads once at its start asks for more */
  readonly onChange?: OnChange;
}

export interface ServicePackage {
  readonly name: string;
  /** Exact version or apt's pattern (`2.6.*`). @default - what is installed already, else the newest of the machine's sources */
  readonly version?: string;
  /** Not installed where this command is there already: what an image brings along, in whatever version. */
  readonly unlessCommand?: string;
}

export interface ServiceDirectory {
  readonly path: string;
  /** @default "0755" */
  readonly mode?: string;
  /** @default "root" */
  readonly owner?: string;
  /** @default "root" */
  readonly group?: string;
}

export interface ServiceUser {
  readonly name: string;
  /** @default "/nonexistent" */
  readonly home?: string;
  /** Further groups. @default none */
  readonly groups?: readonly string[];
}

/**
 * Shell texts (bash, `-euo pipefail`) that the transaction calls. They run as root, with `HA_DIR` (the service's
 * directory), `HA_MACHINE` and `HA_SERVICE` set. See lib/push/on-machine/70-transaction.sh for when.
 */
export interface ServiceHooks {
  /** Reads the new files at their real paths before anybody else can; a status other than 0 refuses them. */
  readonly check?: string;
  /** Makes the daemon run the new files; `HA_ACTION` is none, reload or restart. @default - by `units` */
  readonly activate?: string;
  /** Status 0 when the daemon runs the new files and serves. Called again and again. @default - all units stay active */
  readonly healthy?: string;
  /**
   * After it is healthy: what can only be said to a running daemon. `HA_PREVIOUS` is the directory of the version before.
   * A failure counts as not healthy.
   */
  readonly settle?: string;
  /** Status 0 while this node is the one that serves; asked when a rollout puts the standby first; before the new files are there, if a package is upgraded. */
  readonly active?: string;
  /** Before a reload or restart: let no new work in, wait for what is under way. */
  readonly drain?: string;
  /** After it is healthy again. */
  readonly undrain?: string;
  /** Before the service is removed from the machine: decommission, hand over. A failure stops the removal. */
  readonly leave?: string;
}

/** Everything one service is on one machine. */
export interface ServiceDescription {
  readonly packages?: readonly ServicePackage[];
  /** After a package was installed or upgraded. @default "restart" */
  readonly onPackageChange?: OnChange;
  readonly users?: readonly ServiceUser[];
  readonly directories?: readonly ServiceDirectory[];
  readonly files: readonly ServiceFile[];
  /** Paths that must not be there (a package's own default site). What stood there comes back when the service goes. */
  readonly absent?: readonly string[];
  /** Kernel settings; a file in /etc/sysctl.d of the service's own. */
  readonly sysctls?: Readonly<Record<string, string | number>>;
  /** systemd units, started and enabled in this order: services, and timers of the service's own. */
  readonly units?: readonly string[];
  /** Units that are enabled but not started now: they have work at boot only. */
  readonly bootUnits?: readonly string[];
  /** Every secret that a file's text names. */
  readonly secrets?: readonly Secret[];
  readonly hooks?: ServiceHooks;
  /** What `hooks.check` runs, for messages: "haproxy -c". */
  readonly checker?: string;
  /** Seconds until the service counts as failed. @default 30 */
  readonly healthyWithin?: number;
  /**
   * Seconds in which a new SSH connection must confirm the change; else it goes back by itself.
   * @default - no confirmation; only a change that can lock Terraform out needs one
   */
  readonly confirmWithin?: number;
  /** Names of all services of the machine; others are removed. For the machine's own service only. */
  readonly services?: readonly string[];
}

/** A daemon with its configs, as it is pushed to machines. */
export interface Service {
  /** Unique on a machine: `haproxy`, `keepalived`. */
  readonly name: string;
  /** Must its `leave` hook have done its work before an instance of AWS goes? @default false - the instance just goes */
  readonly handsOver?: boolean;
  /** Asked at synth, when everything that adds to the service has been said. */
  describe(machine: Machine): ServiceDescription;
}

/** Stands in a text for something that only the machine knows. */
export const Fact = {
  /** Name of the network interface that holds the machine's private address. */
  INTERFACE: "@@HA:fact:interface@@",
  /** Fingerprint of everything that is pushed together: a daemon that shows it runs exactly this. */
  FINGERPRINT: "@@HA:fact:bundle@@",
} as const;
