#!/bin/bash
# Heartbeat had died here, what it served was stopped, and it is back for a minute. The other node tries for some seconds to become primary, gives up for
# good, and counts as the one that serves: where no node has the volume, this one takes it.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=functions.sh
. /usr/local/lib/cdktf-ha/drbd-nfs/functions.sh
for ((attempt = 0; attempt < 10; attempt++)); do
  # one that is not active may just be releasing what it had
  if systemctl is-active --quiet heartbeat.service; then
    case $(drbdadm role "$PAIR_RESOURCE") in
      *Primary*)
        rm --force /var/lib/cdktf-ha-nfs/released
        exit
        ;;
      Secondary/Secondary)
        pair_note "Heartbeat is back and neither node serves: this one takes over"
        /usr/share/heartbeat/hb_takeover all
        ;;
    esac
  fi
  sleep 60
done
