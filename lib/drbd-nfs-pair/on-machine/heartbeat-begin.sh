#!/bin/bash
# Before Heartbeat starts: DRBD listens to the other node, so that what it promotes is the newer copy where that can be known.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=functions.sh
. /usr/local/lib/cdktf-ha/drbd-nfs/functions.sh
modprobe drbd
drbdadm adjust "$PAIR_RESOURCE"
if [[ -e /var/lib/cdktf-ha-nfs/released ]]; then
  systemctl stop cdktf-ha-nfs-resume.timer cdktf-ha-nfs-resume.service 2>/dev/null || true
  systemd-run --quiet --collect --on-active=60 --timer-property=AccuracySec=1s --unit=cdktf-ha-nfs-resume \
    /bin/bash /usr/local/lib/cdktf-ha/drbd-nfs/heartbeat-resume.sh || true
fi
