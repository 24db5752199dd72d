#!/bin/bash
# The volume follows its disks: once both have grown it does, on line, and its file system with it. A timer runs this.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=functions.sh
. /usr/local/lib/cdktf-ha/drbd-nfs/functions.sh
# shellcheck source-path=SCRIPTDIR source=sizes.sh
. /usr/local/lib/cdktf-ha/drbd-nfs/sizes.sh
# on the volume: whoever serves next goes on where this node was cut short
grows=$PAIR_DIRECTORY/.cdktf-ha-grows

# DRBD's own notes are at the disk's end: 32 MiB for each TiB, and a little.
usable() { echo $(($1 - $1 / 32768 - 131072)); }

follow() {
  local mine theirs smaller volume
  mine=$(pair_size_of "$PAIR_NODE") theirs=$(pair_size_of "$PAIR_PEER") volume=$(pair_volume_bytes)
  [[ -n $mine && -n $theirs ]] || return 0
  smaller=$((mine < theirs ? mine : theirs))
  (($(usable "$smaller") > volume + 1048576)) || return 0
  # while a copy catches up DRBD takes no other size
  [[ $(pair_connection) == Connected && $(pair_disks) == UpToDate/UpToDate ]] || return 0
  touch "$grows"
  pair_note "both disks have grown: the volume grows from $volume bytes"
  drbdadm resize "$PAIR_RESOURCE"
}

pair_fail_if_shrunk
# after a boot Pacemaker takes notes a moment later than it is active; so does the next minute
pair_tell_size 2>/dev/null || exit 0
pair_is_managed && pair_serves || exit 0
follow
[[ -e $grows ]] || exit 0
case $PAIR_FILE_SYSTEM in
  xfs) xfs_growfs -d "$PAIR_DIRECTORY" >/dev/null ;;
  ext4) resize2fs "$PAIR_DEVICE" ;;
esac
rm "$grows"
pair_note "the volume has $(pair_volume_bytes) bytes"
