#!/bin/bash
# Membership, the third vote, and the manager of everything else. Nothing of it is ever restarted while the pair serves: what
# changes in corosync.conf is read while it runs.
# shellcheck source-path=SCRIPTDIR source=functions.sh
. /usr/local/lib/cdktf-ha/drbd-nfs/functions.sh
pair_take_key
# on the way to another key what is new is read together with it
if [[ $HA_ACTION != none ]] && ! pair_key_changes && systemctl is-active --quiet corosync.service; then corosync-cfgtool -R; fi
# their init scripts are of no use here, and looked at for half a minute on a slow machine
export SYSTEMCTL_SKIP_SYSV=1
units=(corosync.service corosync-qdevice.service pacemaker.service)
states=$(systemctl is-enabled "${units[@]}") || true
if grep -qvx enabled <<<"$states"; then systemctl enable --quiet "${units[@]}"; fi
for unit in "${units[@]}"; do
  systemctl is-active --quiet "$unit" || systemctl reset-failed "$unit" 2>/dev/null || true
  systemctl start "$unit"
done
