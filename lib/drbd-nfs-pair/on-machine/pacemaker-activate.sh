#!/bin/bash
# Membership, the third vote, and the manager of everything else. Nothing of it is ever restarted while the pair serves: what
# changes in corosync.conf is read while it runs.
# shellcheck source-path=SCRIPTDIR source=functions.sh
. /usr/local/lib/cdktf-ha/drbd-nfs/functions.sh
pair_one_at_a_time pair_take_key
# on the way to another key what is new is read together with it
if [[ $HA_ACTION == reload ]] && ! pair_key_changes && systemctl is-active --quiet corosync.service; then corosync-cfgtool -R; fi

# SBD, which feeds the watchdog, begins and ends with corosync: where there is nothing to serve.
begin_anew() {
  # whoever is left must have a quorum
  if pair_sees_both; then
    pair_wait 60 pair_both_count_third_vote || pair_fail "the quorum host does not give its vote to both nodes: without it the one that is left would stop"
  fi
  wait_for_watchdogs
  if pair_serves; then HA_PATIENCE=120 /usr/local/sbin/nfs-pair-switchover; fi
  systemctl stop pacemaker.service corosync-qdevice.service corosync.service
}
has_sbd() { systemctl is-active --quiet sbd.service; }

# The other node must not take this one for reset sooner than its watchdog takes, nor at all where there is none any more: the cluster is told before.
# What is longer than needed does no harm until the resources are told.
wait_for_watchdogs() {
  local now wanted
  now=$(pair_waits_for_reset) || pair_fail "how long the cluster waits for a node to reset itself cannot be asked: crm_mon --one-shot shows why"
  wanted=$(pair_reset_within)
  [[ -n $now ]] || return 0
  if ((now > 0 && (wanted == 0 || now < wanted))); then
    systemctl is-active --quiet pacemaker.service ||
      pair_fail "the cluster waits $now s until this node has reset itself, and cannot be told otherwise: systemctl start pacemaker, or take the change back"
    crm_attribute --type crm_config --name stonith-watchdog-timeout --update "$wanted" || true
    [[ $(pair_waits_for_reset) == "$wanted" ]] || pair_fail "the cluster does not take it that this node has reset itself after $wanted s (0: never), instead of $now"
    ((wanted == 0)) || crm_attribute --type crm_config --name stonith-timeout --update $((wanted + 30)) || true
  fi
}
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
