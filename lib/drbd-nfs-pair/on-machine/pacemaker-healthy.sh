#!/bin/bash
# A member of a quorum that counts the third vote.
# shellcheck source-path=SCRIPTDIR source=functions.sh
. /usr/local/lib/cdktf-ha/drbd-nfs/functions.sh
units=(corosync.service corosync-qdevice.service pacemaker.service)
if pair_has_watchdog; then
  units+=(sbd.service)
elif systemctl is-enabled --quiet sbd.service 2>/dev/null; then
  pair_fail "sbd.service would start at boot, and has no watchdog"
fi
for unit in "${units[@]}"; do
  systemctl is-active --quiet "$unit" || pair_fail "$unit is not active"
done
# first: a node that nobody hears may have to try another key
pair_change_key || true
words=$(corosync-quorumtool -s 2>&1) || true # its status is no 0 for a quorum
grep -Eq '^Quorate: +Yes' <<<"$words" || pair_fail "this node is in no quorum ($PAIR_PEER may be away, or have another secret, which a machine that is new cannot know): $words"
grep -Eq '^Flags:.* Qdevice' <<<"$words" || pair_fail "the third vote does not count"
grep -Eq ' A,V,.*\(local\)' <<<"$words" || pair_fail "the quorum host does not give its vote: is it up, and does its firewall let this node in? $words"
# Rights that are missing are found out now, and not in the night when they are needed.
for program in /usr/local/lib/cdktf-ha/drbd-nfs/{claim,fence-try}; do
  [[ ! -x $program ]] || words=$("$program" try 2>&1) || pair_fail "this machine's role may not do all that a failover takes: $words"
done
crm_node --partition >/dev/null 2>&1 || pair_fail "Pacemaker does not answer yet"
if pair_key_changes; then
  ! pair_peer_says '*' "$pair_next_key" ||
    pair_fail "the pair is going over to its new secret; cdktf-ha-nfs-upkeep does a step a minute on $PAIR_PEER, which says $(pair_key_told "$PAIR_PEER")"
else
  cmp --quiet "$pair_key" <(pair_cluster_key) || pair_fail "the cluster's key is not made of this secret"
fi
