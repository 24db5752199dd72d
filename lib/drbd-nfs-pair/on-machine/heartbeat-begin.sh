#!/bin/bash
# Before Heartbeat starts: DRBD listens to the other node, so that what it promotes is the newer copy where that can be known.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=functions.sh
. /usr/local/lib/cdktf-ha/drbd-nfs/functions.sh
modprobe drbd
drbdadm adjust "$PAIR_RESOURCE"
