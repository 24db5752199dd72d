#!/bin/bash
# Heartbeat has ended, whatever the way: what it had started does not go on with nobody who watches it, and the other node can have it.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=functions.sh
. /usr/local/lib/cdktf-ha/drbd-nfs/functions.sh
if pair_serves || [[ $(drbdadm role "$PAIR_RESOURCE" 2>/dev/null) == Primary/* || -n $(ip -oneline address show to "$PAIR_ADDRESS") ]]; then
  pair_note "Heartbeat has ended and left what it had started: it is stopped"
  mkdir --parents /var/lib/cdktf-ha-nfs
  touch /var/lib/cdktf-ha-nfs/released
  HA_LOGFACILITY=daemon /usr/share/heartbeat/ResourceManager givegroup "drbddisk::$PAIR_RESOURCE"
fi
