import type { Machine } from "../platform/machine";
import type { Service, ServiceDescription } from "../push/service";

/**
 * An instance's own name instead of the one that AWS makes of its address: DRBD, corosync and Pacemaker know a node by what its
 * kernel is called.
 */
export class HostName implements Service {
  readonly name = "host-name";

  describe({ name }: Machine): ServiceDescription {
    return {
      files: [
        { path: "/etc/hostname", text: `${name}\n`, onChange: "none" },
        {
          // else cloud-init gives the old one back at the next boot
          path: "/etc/cloud/cloud.cfg.d/99-cdktf-ha-host-name.cfg",
          text: "# Managed by cdktf-ha-clusters.\npreserve_hostname: true\n",
          onChange: "none",
        },
      ],
      hooks: {
        activate: "hostname --file /etc/hostname",
        healthy: `[[ $(uname --nodename) == ${name} ]]`,
      },
    };
  }
}
