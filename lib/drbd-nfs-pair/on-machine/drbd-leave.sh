#!/bin/bash
# The pair has left the code: DRBD lets go of the disk. What is on it stays.
# shellcheck source-path=SCRIPTDIR source=functions.sh
. /usr/local/lib/cdktf-ha/drbd-nfs/functions.sh
rm --force /var/lib/cdktf-ha-nfs/split
! pair_is_up || drbdadm down "$PAIR_RESOURCE"
