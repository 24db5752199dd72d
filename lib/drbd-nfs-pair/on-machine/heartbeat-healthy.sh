#!/bin/bash
# Heartbeat runs, one of the two serves, and this node's copy is good or on its way.
# shellcheck source-path=SCRIPTDIR source=functions.sh
. /usr/local/lib/cdktf-ha/drbd-nfs/functions.sh
pair_is_managed || pair_fail "heartbeat.service is not active"
cl_status hbstatus >/dev/null || pair_fail "Heartbeat does not answer yet"
[[ $(pair_connection) != StandAlone ]] || pair_fail "this node does not listen to the other one (StandAlone)"
! pair_has_split || pair_fail "the copies have gone apart: a person has to decide which one stays"
case $(pair_disks) in
  UpToDate/* | Inconsistent/UpToDate) ;;
  *) pair_fail "this node's copy is $(pair_disks)" ;;
esac
if pair_serves; then
  [[ -n $(ip -oneline address show to "$PAIR_ADDRESS") ]] || pair_fail "$PAIR_ADDRESS is not here yet"
else
  [[ $(drbdadm role "$PAIR_RESOURCE") == */Primary ]] || pair_fail "neither node has the volume: journalctl --unit heartbeat shows why"
fi
