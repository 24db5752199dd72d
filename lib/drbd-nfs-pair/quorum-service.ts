import type { Machine } from "../platform/machine";
import type { Service, ServiceDescription } from "../push/service";
import { QUORUM_PORT } from "./layout";

/** The third vote's keeper: which half may go on is decided here, when the two nodes do not see each other. */
export class QuorumService implements Service {
  readonly name = "qnetd";

  describe({ privateAddress }: Machine): ServiceDescription {
    return {
      packages: [{ name: "corosync-qnetd" }],
      files: [
        {
          path: "/etc/default/corosync-qnetd",
          text: `# Managed by cdktf-ha-clusters.\nCOROSYNC_QNETD_OPTIONS="-s off -l ${privateAddress} -p ${QUORUM_PORT}"\n`,
          onChange: "restart",
        },
      ],
      units: ["corosync-qnetd.service"],
      hooks: { healthy: "corosync-qnetd-tool -s" },
    };
  }
}
