#!/bin/bash
# nfs-pair-switchover: gives the service to the other node, and comes back when that one has it. On the node that serves.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=functions.sh
. /usr/local/lib/cdktf-ha/drbd-nfs/functions.sh
if ! pair_serves; then
  echo "this node does not serve"
  exit 0
fi
may_take_over() { pair_sees_both && [[ $(pair_disks) == UpToDate/UpToDate ]] && ! pair_is_fenced; }
# a push has just changed the other node, which may be on its way up still
if ! pair_wait "${HA_PATIENCE:-0}" may_take_over; then
  pair_sees_both || pair_fail "$PAIR_PEER is not there to take over"
  [[ $(pair_disks) == UpToDate/UpToDate ]] || pair_fail "$PAIR_PEER has not caught up ($(pair_disks)): a switchover would wait for it"
  pair_fail "$PAIR_PEER may not take over yet: DRBD has a constraint against it, which its agent lifts within a minute of both copies being whole"
fi
pair_note "gives the service to $PAIR_PEER"
pair_hand_over
pair_note "$PAIR_PEER serves"
