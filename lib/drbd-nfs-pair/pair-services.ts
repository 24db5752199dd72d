import { renderFacts } from "../facts";
import type { Machine } from "../platform/machine";
import type { Service, ServiceDescription } from "../push/service";
import type { Secret } from "../secret/secret";
import type { VirtualIp } from "../virtual-ip/virtual-ip";
import { renderCib, type CibModel } from "./cib";
import { renderCorosyncConf, type CorosyncModel } from "./corosync-conf";
import { renderDrbdCommon, renderDrbdResource, type DrbdResourceModel } from "./drbd-resource";
import { renderExportList, renderExports, type ExportModel } from "./exports-file";
import type { FenceMethod } from "./fence-method";
import {
  ACTIVE,
  CLIENTS_AGENT_FILE,
  DEVICE,
  DIRECTORY,
  HAND_OVER,
  PROGRAMS,
  RESOURCE,
  SERVER_AGENT_FILE,
  SERVER_SCOPE,
  STATE,
} from "./layout";
import type { Manager } from "./manager";
import { program, script } from "./node-part";
import { addressAgent } from "./moving-address";
import { renderNfsConf, renderNfsDropIn, type NfsConfModel } from "./nfs-conf";

/** A single server that is taken over. */
export interface AdoptProps {
  /** The node whose `disk` holds the file system that is kept; the other node's is empty. */
  readonly node: string;
  /** The export that everything on it becomes. */
  readonly export: string;
}

/** What the services ask of their pair, at synth. */
export interface PairSource {
  readonly machines: readonly Machine[];
  diskOf(machine: Machine): string;
  /** The node whose copy the first one is. */
  readonly founder: string;
  readonly adopt?: AdoptProps;
  readonly fileSystem: "xfs" | "ext4";
  readonly mountOptions: string;
  readonly secret: Secret;
  readonly fencing: FenceMethod;
  readonly manager: Manager;
  readonly address: string;
  readonly virtualIp: VirtualIp;
  readonly operationTimeout: number;
  /** Seconds. */
  readonly token: number;
  drbd(): DrbdResourceModel;
  corosync(): CorosyncModel;
  cib(): CibModel;
  nfs(): NfsConfModel;
  exports(): readonly ExportModel[];
}

const EXPORT_LIST = "/etc/cdktf-ha/drbd-nfs-exports";

/** Replication, and what everything else of the pair finds on a node. */
export class DrbdService implements Service {
  readonly name = "drbd";

  constructor(private readonly pair: PairSource) {}

  describe(machine: Machine): ServiceDescription {
    const { pair } = this;
    const heartbeat = pair.manager.settings !== undefined;
    const peer = pair.machines.find((other) => other !== machine)!;
    return {
      packages: [
        { name: "drbd-utils" },
        ...(pair.fileSystem === "xfs" ? [{ name: "xfsprogs", unlessCommand: "mkfs.xfs" }] : []),
      ],
      // an upgrade must not stop what the peer still needs: the kernel's module stays the same anyway
      onPackageChange: "none",
      files: [
        { path: "/etc/drbd.d/global_common.conf", text: renderDrbdCommon() },
        { path: `/etc/drbd.d/${RESOURCE}.res`, text: renderDrbdResource(pair.drbd()), mode: "0600" },
        { path: "/etc/cdktf-ha/drbd-nfs.key", text: pair.secret.placeholder, mode: "0600", onChange: "none" },
        {
          path: "/etc/cdktf-ha/drbd-nfs",
          text: renderFacts("the pair and this node's place in it", {
            PAIR_NODE: machine.name,
            PAIR_PEER: peer.name,
            PAIR_FOUNDER: pair.founder,
            PAIR_ADOPTS: pair.adopt?.node ?? "",
            PAIR_ADOPT_EXPORT: pair.adopt?.export ?? "",
            PAIR_RESOURCE: RESOURCE,
            PAIR_DEVICE: DEVICE,
            PAIR_DISK: pair.diskOf(machine),
            PAIR_META_DISK: pair.drbd().metaDisk ?? "",
            PAIR_FILE_SYSTEM: pair.fileSystem,
            PAIR_MOUNT_OPTIONS: pair.mountOptions,
            PAIR_DIRECTORY: DIRECTORY,
            PAIR_STATE: STATE,
            ...(heartbeat
              ? { PAIR_MANAGER: "heartbeat", PAIR_ADDRESS: pair.address }
              : {
                  PAIR_CLUSTER: pair.corosync().cluster,
                  PAIR_FENCE_DEVICES: pair
                    .cib()
                    .fencing.map(({ name }) => `ha-${name}`)
                    .join(" "),
                }),
            PAIR_MOVES_WITHIN: 6 * pair.operationTimeout,
          }),
          onChange: "none",
        },
        program("functions.sh"),
        program("sizes.sh"),
        program("adopt.sh"),
        program("notify.sh"),
        program("split-found.sh"),
        ...(heartbeat ? [] : [program("fence-peer.sh")]),
        program(heartbeat ? "heartbeat-functions.sh" : "cluster-key.sh"),
      ],
      secrets: [pair.secret],
      hooks: {
        check: script("drbd-check.sh"),
        activate: script("drbd-activate.sh"),
        healthy: script("drbd-healthy.sh"),
        active: ACTIVE,
        leave: script("drbd-leave.sh"),
      },
      checker: "drbdadm dump",
      // a node that was away may be on its way up still
      healthyWithin: 4 * pair.operationTimeout,
    };
  }
}

/** The NFS server, which Pacemaker starts on one of the nodes. */
export class NfsServerService implements Service {
  readonly name = "nfs-server";

  constructor(private readonly pair: PairSource) {}

  describe(): ServiceDescription {
    const exports = this.pair.exports();
    return {
      packages: [{ name: "nfs-kernel-server" }],
      onPackageChange: "none",
      files: [
        { path: "/etc/nfs.conf.d/cdktf-ha.conf", text: renderNfsConf(this.pair.nfs()), onChange: "restart" },
        {
          path: "/etc/systemd/system/nfs-server.service.d/cdktf-ha.conf",
          text: renderNfsDropIn(SERVER_SCOPE, `/bin/bash ${PROGRAMS}/directories.sh`, this.pair.nfs()),
          onChange: "restart",
        },
        {
          path: "/etc/exports.d/cdktf-ha.exports",
          text: renderExports(exports, DIRECTORY),
          onChange: "none",
        },
        { path: EXPORT_LIST, text: renderExportList(exports), onChange: "none" },
        program("directories.sh", "nfs-directories.sh"),
        program("quotas.sh"),
        { path: SERVER_AGENT_FILE, text: script("nfs-server.sh"), mode: "0755", onChange: "none" },
        { path: CLIENTS_AGENT_FILE, text: script("nfs-clients.sh"), mode: "0755", onChange: "none" },
        {
          path: "/usr/local/sbin/nfs-pair-switchover",
          text: script("nfs-switchover.sh"),
          mode: "0755",
          onChange: "none",
        },
      ],
      directories: [{ path: "/etc/exports.d" }],
      hooks: {
        check: script("split-check.sh"),
        activate: script("nfs-activate.sh"),
        healthy: script("nfs-healthy.sh"),
        active: ACTIVE,
        // a server that has to start anew does so on the node that has nothing to serve
        drain: HAND_OVER,
        leave: script("nfs-leave.sh"),
      },
    };
  }
}

/** Membership and the manager of everything that moves. */
export class PacemakerService implements Service {
  readonly name = "pacemaker";

  constructor(private readonly pair: PairSource) {}

  describe(machine: Machine): ServiceDescription {
    const { fencing, virtualIp } = this.pair;
    const address = addressAgent(virtualIp, machine);
    return {
      packages: [
        { name: "corosync" },
        { name: "corosync-qdevice" },
        { name: "pacemaker" },
        { name: "pacemaker-cli-utils" },
        { name: "resource-agents" },
        // what the Filesystem agent finds those with who hold a volume up, and without which it starts nothing
        { name: "psmisc", unlessCommand: "fuser" },
        { name: "iputils-ping", unlessCommand: "ping" },
        { name: "logrotate", unlessCommand: "logrotate" },
        ...fencing.packages,
        ...address.packages,
      ],
      onPackageChange: "none",
      files: [
        // of its own, so that a push waits here until the pair has gone over to another one
        {
          path: "/etc/cdktf-ha/drbd-nfs-cluster.key",
          text: this.pair.secret.placeholder,
          mode: "0600",
          onChange: "none",
        },
        { path: "/etc/corosync/corosync.conf", text: renderCorosyncConf(this.pair.corosync()) },
        ...fencing.files(machine, this.pair.token),
        ...address.files,
      ],
      secrets: [...new Set([this.pair.secret, ...fencing.secrets])],
      units: ["corosync.service", "corosync-qdevice.service", "pacemaker.service"],
      hooks: {
        check: script("pacemaker-check.sh"),
        activate: script("pacemaker-activate.sh"),
        healthy: script("pacemaker-healthy.sh"),
        active: ACTIVE,
        leave: script("pacemaker-leave.sh"),
      },
      checker: "corosync -t",
      // to another secret both nodes go in steps, a minute apart; and SBD begins as late as the other node takes over
      healthyWithin: 2 * this.pair.operationTimeout + 120 + (fencing.offAfter(this.pair.token) ?? 0),
    };
  }
}

/** What Pacemaker runs where: known by both nodes at once, so either one can be told. */
export class ResourcesService implements Service {
  readonly name = "nfs-resources";

  constructor(private readonly pair: PairSource) {}

  describe(): ServiceDescription {
    return {
      files: [
        { path: "/etc/cdktf-ha/drbd-nfs-cib.xml", text: renderCib(this.pair.cib()), onChange: "none" },
        program("merge-cib.sh"),
      ],
      hooks: {
        check: script("split-check.sh"),
        activate: script("resources-activate.sh"),
        healthy: script("resources-healthy.sh"),
      },
      healthyWithin: 6 * this.pair.operationTimeout,
    };
  }
}
