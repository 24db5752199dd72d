#!/bin/bash
# after-reset.sh SECONDS: waits until the machine has been up for so long. Before corosync: a member whose Pacemaker does not answer yet, since SBD still
# waits until this node counts as reset, would hold up the one that takes over.
set -euo pipefail
read -r up _ </proc/uptime
left=$(($1 - ${up%.*}))
((left <= 0)) || sleep "$left"
