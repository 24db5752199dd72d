#!/bin/bash
# What nobody else tells: DRBD has lost its peer or a disk, or has both again. A timer runs this; only a change is told.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=functions.sh
. /usr/local/lib/cdktf-ha/drbd-nfs/functions.sh
last=/run/cdktf-ha-nfs-state
notify() { bash /usr/local/lib/cdktf-ha/drbd-nfs/notify.sh "$@"; }
pair_is_managed || exit 0
connection=$(pair_connection) disks=$(pair_disks)
case $connection/$disks in
  Connected/UpToDate/UpToDate | Verify[ST]/UpToDate/UpToDate) now=good ;;
  StandAlone/*) now="split" ;;
  *) now="${connection:-DRBD is down} ${disks}" ;;
esac
if pair_has_split; then now="split"; fi
# who may go on alone is asked now, and not when it has to be known
if [[ $now == good ]] && pair_sees_both && ! pair_both_count_third_vote; then now="no vote"; fi
before=$(cat "$last" 2>/dev/null || echo good)
[[ $now != "$before" ]] || exit 0
case $now in
  good) notify recovered "both copies are there and equal" ;;
  'no vote') notify degraded "the quorum host gives no vote to both nodes: should one of them be lost now, nobody serves" ;;
  split) notify split "this node and $PAIR_PEER do not listen to each other any more (${connection:-DRBD is down}): nfs-pair-split shows this side" ;;
  *) notify degraded "DRBD: $now" ;;
esac
printf '%s\n' "$now" >"$last"
