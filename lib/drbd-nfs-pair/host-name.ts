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
        // sudo looks for it at each call
        activate: `hostname --file /etc/hostname
getent hosts ${name} >/dev/null || printf '127.0.1.1\\t%s\\n' ${name} >>/etc/hosts`,
        healthy: `[[ $(uname --nodename) == ${name} ]] && getent hosts ${name}`,
        leave: `sed --in-place '/^127\\.0\\.1\\.1\\t${name}$/d' /etc/hosts`,
      },
    };
  }
}
