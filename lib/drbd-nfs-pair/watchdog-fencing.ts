import type { Construct } from "constructs";
import type { Machine } from "../platform/machine";
import { checkCount, isToken, refuse } from "../problem";
import type { ServiceFile } from "../push/service";
import type { Secret } from "../secret/secret";
import type { FenceDevice } from "./cib";
import { syncTimeout } from "./corosync-conf";
import { FenceMethod } from "./fence-method";
import { PROGRAMS } from "./layout";
import { program } from "./node-part";

export interface WatchdogFencingProps {
  /** @default "/dev/watchdog" - the first one that the kernel has */
  readonly device?: string;
  /**
   * The machines have none, so the kernel's own timer (softdog) is used. It switches off a node that is cut off or whose programs hang, and not one
   * whose kernel hangs: that one may wake up later and write what it had under way.
   * @default false
   */
  readonly software?: boolean;
  /**
   * Seconds without a sign of life from SBD after which the watchdog resets the machine. The other node takes over after twice of it.
   * @default - five times the pair's `token`, and 10: for five times of it a membership that changes may wait for the quorum host, and until Pacemaker
   * and SBD have noticed what came of it a few more pass
   */
  readonly timeout?: number;
}

/** Seconds from a membership without a quorum until SBD has let the watchdog go: 4 of its own loops, and Pacemaker's answer. */
const NOTICED_WITHIN = 8;

/** SBD without a disk: https://github.com/ClusterLabs/sbd, "watchdog-only". */
export class WatchdogFencing extends FenceMethod {
  override readonly packages = [{ name: "sbd" }];
  override readonly isSoftware: boolean;
  readonly secrets: readonly Secret[] = [];

  constructor(private readonly props: WatchdogFencingProps) {
    super();
    const { device, timeout, software = false } = props;
    this.isSoftware = software;
    if (device !== undefined && !isToken(device) && !/^\/dev\/[A-Za-z0-9_/-]+$/.test(device)) {
      refuse("Fencing.watchdog", {
        code: "bad-path",
        what: `'device' is '${device}'`,
        allowed: "the path of a device, below /dev",
        fix: "leave it out for /dev/watchdog",
      });
    }
    checkCount(
      "Fencing.watchdog",
      "timeout",
      timeout,
      5,
      600,
      "seconds, of which twice pass until the other node takes over",
    );
  }

  check(scope: Construct, _nodes: readonly string[], _machines: readonly Machine[], token: number): void {
    const least = syncTimeout(token) + NOTICED_WITHIN;
    const timeout = this.timeout(token);
    if (timeout >= least) return;
    refuse(scope, {
      code: "watchdog-too-short",
      what: `the watchdog's 'timeout' is ${timeout} s`,
      allowed: `from ${least} s on: ${syncTimeout(token)} for which a node may wait for the quorum host, and ${NOTICED_WITHIN} until Pacemaker and SBD have noticed what came of it`,
      fix: "leave it out, or choose a shorter 'token'",
    });
  }

  override offAfter(token: number): number {
    return 2 * this.timeout(token);
  }

  devices(): FenceDevice[] {
    return [];
  }

  files(_machine: Machine, token: number): ServiceFile[] {
    const { device = "/dev/watchdog", software } = this.props;
    return [
      {
        path: "/etc/default/sbd",
        text: [
          "# Managed by cdktf-ha-clusters.",
          "SBD_PACEMAKER=yes",
          "SBD_STARTMODE=always",
          // who is up again before the other one takes it for reset would be told that it is dead, and stop
          "SBD_DELAY_START=yes",
          // Pacemaker and SBD each have another default, and a Pacemaker that is stopped would not count as stopped
          "SBD_SYNC_RESOURCE_STARTUP=yes",
          `SBD_WATCHDOG_DEV=${device}`,
          `SBD_WATCHDOG_TIMEOUT=${this.timeout(token)}`,
          // to write first what is cached would wait for a volume that is frozen
          "SBD_TIMEOUT_ACTION=noflush,reboot",
          "",
        ].join("\n"),
        onChange: "restart",
      },
      {
        // it waits for corosync, which waits for the network first
        path: "/etc/systemd/system/sbd.service.d/cdktf-ha.conf",
        text: `# Managed by cdktf-ha-clusters.\n[Service]\nTimeoutStartSec=${this.offAfter(token) + 300}\n`,
        onChange: "none",
      },
      {
        path: "/etc/systemd/system/corosync.service.d/cdktf-ha-watchdog.conf",
        text: [
          "# Managed by cdktf-ha-clusters.",
          "[Service]",
          // not After=sbd.service: without a disk SBD's start ends when corosync answers
          `ExecStartPre=/bin/bash ${PROGRAMS}/after-reset.sh ${this.offAfter(token)}`,
          `TimeoutStartSec=${this.offAfter(token) + 60}`,
          "",
        ].join("\n"),
        onChange: "none",
      },
      program("after-reset.sh"),
      ...(software
        ? [
            {
              path: "/etc/modules-load.d/cdktf-ha-watchdog.conf",
              text: "# Managed by cdktf-ha-clusters.\nsoftdog\n",
              onChange: "none" as const,
            },
          ]
        : []),
    ];
  }

  private timeout(token: number): number {
    return this.props.timeout ?? syncTimeout(token) + 10;
  }
}
