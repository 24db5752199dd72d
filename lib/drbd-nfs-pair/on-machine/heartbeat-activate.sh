#!/bin/bash
# From its start on Heartbeat alone starts and stops what moves. Before the very first time the volume is made, on one node.
# shellcheck source-path=SCRIPTDIR source=functions.sh
. /usr/local/lib/cdktf-ha/drbd-nfs/functions.sh

connected() { [[ $(pair_connection) == Connected ]]; }

# Both copies are new, and taken for equal; or an earlier push was cut short after that.
make_volume() {
  pair_wait 120 connected || pair_fail "DRBD does not reach $PAIR_PEER ($(pair_connection))"
  case $(pair_disks) in
    Inconsistent/Inconsistent) drbdadm new-current-uuid --clear-bitmap "$PAIR_RESOURCE/0" ;;
    UpToDate/UpToDate) ;;
    *) pair_fail "the copies are $(pair_disks): that has to be understood by a person first" ;;
  esac
  pair_fill_volume :
}

if ! pair_is_managed && [[ $PAIR_NODE == "$PAIR_FOUNDER" ]]; then
  case "$(drbdadm role "$PAIR_RESOURCE") $(pair_disks)" in
    *' Inconsistent/Inconsistent' | *' Inconsistent/DUnknown' | 'Secondary/Secondary UpToDate/UpToDate') make_volume ;;
  esac
fi
pair_own_shellfuncs
systemctl enable --quiet heartbeat.service
systemctl reset-failed heartbeat.service 2>/dev/null || true
# the drain has seen to it that nothing is served here
if [[ $HA_ACTION != none ]] && ! pair_serves; then systemctl restart heartbeat.service; fi
systemctl start heartbeat.service
