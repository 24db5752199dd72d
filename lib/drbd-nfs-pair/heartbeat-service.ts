import type { Service, ServiceDescription } from "../push/service";
import {
  renderAuthkeys,
  renderHaCf,
  renderHaresources,
  renderHeartbeatUnit,
  type HaCfModel,
  type HaresourcesModel,
} from "./heartbeat-files";
import { ACTIVE, HAND_OVER, PROGRAMS } from "./layout";
import { program, script } from "./node-part";
import type { PairSource } from "./pair-services";

/** What Heartbeat asks of its pair besides, at synth. */
export interface HeartbeatSource extends PairSource {
  haCf(): HaCfModel;
  haresources(): HaresourcesModel;
}

/** Membership and the manager of everything that moves, as in 2008. */
export class HeartbeatService implements Service {
  readonly name = "heartbeat";

  constructor(private readonly pair: HeartbeatSource) {}

  describe(): ServiceDescription {
    const { pair } = this;
    return {
      packages: [
        { name: "heartbeat" },
        { name: "resource-agents" },
        { name: "psmisc", unlessCommand: "fuser" }, // what the Filesystem agent finds those with who hold a volume up
      ],
      onPackageChange: "none",
      files: [
        { path: "/etc/ha.d/ha.cf", text: renderHaCf(pair.haCf()), onChange: "restart" },
        { path: "/etc/ha.d/haresources", text: renderHaresources(pair.haresources()), onChange: "restart" },
        {
          path: "/etc/ha.d/authkeys",
          text: renderAuthkeys(pair.secret.placeholder),
          mode: "0600",
          onChange: "restart",
        },
        ...["nfs-server", "nfs-clients"].map((name) => ({
          path: `/etc/ha.d/resource.d/${name}`,
          text: script("heartbeat-agent.sh"),
          mode: "0755",
          onChange: "none" as const,
        })),
        {
          path: "/etc/systemd/system/heartbeat.service.d/cdktf-ha.conf",
          text: renderHeartbeatUnit(PROGRAMS, pair.haCf().deadtime),
          onChange: "restart", // one that runs by the package's unit ends with it
        },
        ...["begin", "end", "release", "resume"].map((name) => program(`heartbeat-${name}.sh`)),
        program("heartbeat-shellfuncs.sh"),
      ],
      secrets: [pair.secret],
      units: ["heartbeat.service"],
      hooks: {
        check: script("heartbeat-check.sh"),
        activate: script("heartbeat-activate.sh"),
        healthy: script("heartbeat-healthy.sh"),
        active: ACTIVE,
        // what Heartbeat reads at its start it reads where there is nothing to serve
        drain: HAND_OVER,
        leave: script("heartbeat-leave.sh"),
      },
      checker: "heartbeat",
      healthyWithin: 6 * pair.operationTimeout,
    };
  }
}
