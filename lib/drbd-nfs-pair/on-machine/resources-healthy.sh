#!/bin/bash
# Somebody serves, whoever is to switch nodes off can, and this node's copy is good or on its way.
# shellcheck source-path=SCRIPTDIR source=functions.sh
. /usr/local/lib/cdktf-ha/drbd-nfs/functions.sh
for resource in ha-vip $PAIR_FENCE_DEVICES; do
  [[ -n $(pair_where "$resource") ]] || pair_fail "$resource runs nowhere: $(crm_mon --one-shot --group-by-node --inactive 2>&1)"
done
# a change to another way of fencing that was taken back half way: the resources are told again
waits=$(pair_waits_for_reset) || pair_fail "Pacemaker does not say how long it waits until a node has reset itself"
if [[ -n $waits ]] && ((waits < $(pair_reset_within))); then
  pair_fail "the cluster waits for $waits s until a node has reset itself (0: for ever), and this one takes $(pair_reset_within)"
fi
case $(pair_disks) in
  UpToDate/* | Inconsistent/UpToDate) ;;
  *) pair_fail "this node's copy is $(pair_disks)" ;;
esac
[[ $(pair_connection) != StandAlone ]] || pair_fail "this node does not listen to the other one (StandAlone)"
