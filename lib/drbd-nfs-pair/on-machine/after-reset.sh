#!/bin/bash
# after-reset.sh SECONDS: waits as long as SBD beside it, on a machine that has booted within the last ten minutes. Before corosync: a member whose
# Pacemaker does not answer yet, since SBD still waits until this node counts as reset, would hold up the one that takes over.
set -euo pipefail
read -r up _ </proc/uptime
((${up%.*} >= 600)) || sleep "$1"
