#!/bin/bash
# The copy is there, and this node listens to the other one.
# shellcheck source-path=SCRIPTDIR source=functions.sh
. /usr/local/lib/cdktf-ha/drbd-nfs/functions.sh
connection=$(pair_connection)
disks=$(pair_disks)
if [[ -z $connection ]]; then
  pair_is_managed || pair_fail "DRBD is not up"
  pair_fail "Pacemaker has not brought DRBD up on this node: crm_mon --one-shot shows why"
fi
! pair_has_split || pair_fail "the copies have gone apart ($connection): nfs-pair-split shows this side"
[[ $connection != StandAlone ]] ||
  pair_fail "this node does not listen to the other one (StandAlone): the data may differ, and nothing is discarded by itself; journalctl --dmesg --grep drbd shows why"
case ${disks%%/*} in
  Diskless | Failed | '') pair_fail "DRBD has no disk here (${disks:-unknown})" ;;
esac
