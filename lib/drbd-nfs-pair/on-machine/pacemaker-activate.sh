#!/bin/bash
# Membership, the third vote, and the manager of everything else. Nothing of it is ever restarted while the pair serves: what
# changes in corosync.conf is read while it runs.
# shellcheck source-path=SCRIPTDIR source=functions.sh
. /usr/local/lib/cdktf-ha/drbd-nfs/functions.sh
pair_take_key
# on the way to another key what is new is read together with it
if [[ $HA_ACTION != none ]] && ! pair_key_changes && systemctl is-active --quiet corosync.service; then corosync-cfgtool -R; fi
# SBD, which feeds the watchdog, begins and ends with corosync: where there is nothing to serve.
begin_anew() {
  if pair_serves; then HA_PATIENCE=120 /usr/local/sbin/nfs-pair-switchover; fi
  # with it, and without SBD, Pacemaker would not start
  pair_has_watchdog || crm_attribute --type crm_config --name stonith-watchdog-timeout --update 0
  systemctl stop pacemaker.service corosync-qdevice.service corosync.service
}
has_sbd() { systemctl is-active --quiet sbd.service; }
if systemctl is-active --quiet corosync.service; then
  if [[ $HA_ACTION == restart ]] || { pair_has_watchdog && ! has_sbd; } || { ! pair_has_watchdog && has_sbd; }; then begin_anew; fi
fi

# their init scripts are of no use here, and looked at for half a minute on a slow machine
export SYSTEMCTL_SKIP_SYSV=1
units=(corosync.service corosync-qdevice.service pacemaker.service)
states=$(systemctl is-enabled "${units[@]}") || true
if grep -qvx enabled <<<"$states"; then systemctl enable --quiet "${units[@]}"; fi
if pair_has_watchdog; then
  systemctl enable --quiet sbd.service
elif systemctl is-enabled --quiet sbd.service 2>/dev/null; then
  systemctl disable --quiet sbd.service
fi
for unit in "${units[@]}"; do
  systemctl is-active --quiet "$unit" || systemctl reset-failed "$unit" 2>/dev/null || true
  systemctl start "$unit"
done
