#!/usr/bin/env bash
# sealed.sh CMD ARGS...: runs CMD, for instance a test runner, where it can boot machines (lab.ts).
# - No way out: its network namespace has no link to any other.
# - Nothing left behind: when CMD ends, or this script or its parent is killed, even by kill -9, the kernel
#   kills every process of the lab's process namespace, and mounts, bridges, files and cables go with them.
# - Several sealed labs can run at once, with the same addresses, also one inside another.
# CMD is to be started by a process that lives as long as the lab: the lab dies with it.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
(($# > 0)) || { sed -n '2,7s/^# //p' "$0" >&2; exit 2; }
[[ $EUID = 0 ]] || { echo "sealed.sh needs root: run it with sudo." >&2; exit 1; }

# Die with the parent. The variable holds our own process id, so that it means nothing to a nested lab.
[[ ${HA_LAB_PARENT_WATCHED:-} = "$$" ]] || HA_LAB_PARENT_WATCHED=$$ exec setpriv --pdeathsig KILL "$0" "$@"

# shellcheck source-path=SCRIPTDIR source=on-host/cgroups.sh
. "$here/on-host/cgroups.sh"
if [[ ${HA_LAB:-} ]]; then
  lab=$HA_LAB.$$ # nested: process ids here mean nothing outside
else
  lab=ha-lab-$$
  # Labs that were killed together with their sweeper.
  for old in $(cgroup_labs); do
    id=${old#ha-lab-}
    [[ -d /proc/${id%%.*} ]] || cgroup_is_used "$old" || cgroup_remove "$old"
  done
fi
export HA_LAB=$lab

# The sweeper has a session of its own, so that it survives whatever kills us, and ends once the lab is gone:
# descriptor 9 is held by this script and by the lab's init.
exec 9> >(exec setsid "$here/on-host/sweep.sh" "$lab" >/dev/null 2>&1)
sweeper=$!

# setpriv: unshare dies with this script. --kill-child: the lab's init, and with it the lab, dies with unshare.
status=0
setpriv --pdeathsig KILL \
  unshare --mount --net --pid --ipc --fork --kill-child=KILL --mount-proc --propagation private \
  "$here/on-host/sealed-init.sh" "$@" || status=$?
exec 9>&-
wait "$sweeper" || true
exit "$status"
