#!/bin/bash
# nfs-pair-switchover: gives the service to the other node, and comes back when that one has it. On the node that serves.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=functions.sh
. /usr/local/lib/cdktf-ha/drbd-nfs/functions.sh
if ! pair_serves; then
  echo "this node does not serve"
  exit 0
fi
pair_sees_both || pair_fail "$PAIR_PEER is not there to take over"
[[ $(pair_disks) == UpToDate/UpToDate ]] || pair_fail "$PAIR_PEER has not caught up ($(pair_disks)): a switchover would wait for it"
pair_note "gives the service to $PAIR_PEER"
# the ban ends by itself, should nobody be left to lift it
crm_resource --quiet --ban --resource ha-drbd-clone --promoted --node "$PAIR_NODE" --lifetime PT15M >/dev/null
trap 'crm_resource --quiet --clear --resource ha-drbd-clone --node "$PAIR_NODE" >/dev/null 2>&1 || true' EXIT
peer_has_it() { [[ $(pair_where ha-vip) == "$PAIR_PEER" ]]; }
pair_wait "$PAIR_MOVES_WITHIN" peer_has_it || pair_fail "$PAIR_PEER has not taken over within $PAIR_MOVES_WITHIN s: crm_mon --one-shot shows why"
pair_note "$PAIR_PEER serves"
