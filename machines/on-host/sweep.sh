#!/usr/bin/env bash
# sweep.sh LAB: waits for the end of its standard input, which the lab's init holds open, hence for the end of
# the lab however it ends; then removes the cgroups of that lab and of the labs nested in it.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=cgroups.sh
. "$(dirname "$0")/cgroups.sh"
cat >/dev/null
for lab in $(cgroup_labs); do
  [[ $lab != "$1" && $lab != "$1".* ]] || cgroup_remove "$lab"
done
