import { join } from "node:path";
import { renderFacts } from "../facts";
import type { Machine } from "../platform/machine";
import type { Service, ServiceDescription } from "../push/service";
import { scriptText } from "../script-text";
import { renderEtcdEnvironment } from "./etcd-environment";

/** What outlives an instance with its volume. */
export const DATA_ROOT = "/var/lib/etcd";
const DATA_DIRECTORY = `${DATA_ROOT}/cdktf-ha`;
const FACTS = "/etc/etcd/cdktf-ha";
const FUNCTIONS = "/usr/local/lib/cdktf-ha/etcd/functions.sh";

/** One member of an etcd cluster. */
export class EtcdService implements Service {
  readonly name = "etcd";
  readonly handsOver = true;

  /** @param members in the order in which they begin; the first one founds the cluster */
  constructor(private readonly members: () => readonly Machine[]) {}

  describe(machine: Machine): ServiceDescription {
    const members = this.members();
    return {
      packages: [
        { name: "etcd-server" },
        { name: "etcd-client" },
        { name: "curl", unlessCommand: "curl" },
        // a lock ends at a time of day
        { name: "chrony", unlessCommand: "chronyd" },
      ],
      // the rollout restarts members one after the other; a package would do it whenever it comes
      onPackageChange: "restart",
      directories: [{ path: "/etc/etcd" }],
      files: [
        {
          path: "/etc/default/etcd",
          text: renderEtcdEnvironment({
            name: machine.name,
            address: machine.privateAddress,
            dataDirectory: DATA_DIRECTORY,
          }),
          onChange: "restart",
        },
        { path: "/etc/systemd/system/etcd.service.d/cdktf-ha.conf", text: DROP_IN, onChange: "restart" },
        {
          path: FACTS,
          text: renderFacts("who is there", {
            ETCD_MEMBER: machine.name,
            ETCD_ADDRESS: machine.privateAddress,
            ETCD_DATA: DATA_DIRECTORY,
            ETCD_FOUNDER: members[0]!.name,
            ETCD_MEMBERS: members.map(({ name, privateAddress }) => `${name} ${privateAddress}`).join("\n"),
          }),
          onChange: "none",
        },
        { path: FUNCTIONS, text: script("functions.sh"), onChange: "none" },
      ],
      units: ["etcd.service"],
      hooks: {
        activate: script("activate.sh"),
        healthy: script("healthy.sh"),
        settle: script("settle.sh"),
        leave: script("leave.sh"),
      },
      healthyWithin: 60,
    };
  }
}

/** How a member is found out whose first start is told who was there: read once, when it has no data yet. */
const DROP_IN = `# Managed by cdktf-ha-clusters.
[Unit]
RequiresMountsFor=${DATA_ROOT}
[Service]
EnvironmentFile=-/var/lib/etcd/first-start
# Without data and without a word on how to begin, etcd would begin a cluster of its own, in which everybody leads.
ExecStartPre=/bin/sh -c 'test -f /var/lib/etcd/first-start || ls ${DATA_DIRECTORY}/member/wal/*.wal >/dev/null || { echo "no data: an apply makes this machine join again" >&2; exit 1; }'
# A member that waits for a quorum, after a power cut of all or a deploy on the machines of a destroyed cluster, is up: whether
# it has one is asked by those who need to know.
Type=exec
Restart=always
RestartSec=2
`;

function script(file: string): string {
  return scriptText(join(__dirname, "on-machine", file));
}
