#!/bin/bash
# What the nodes know of each other's disks: each tells the cluster how large its own is. Read after functions.sh.

pair_disk_bytes() { blockdev --getsize64 "$PAIR_DISK"; }
pair_tell_size() { attrd_updater --name ha-disk-bytes --update "$(pair_disk_bytes)" >/dev/null; }
pair_both_told() { [[ -n $(pair_size_of "$PAIR_NODE") && -n $(pair_size_of "$PAIR_PEER") ]]; }
# Bytes, or nothing while that node has not told.
pair_size_of() { pair_told ha-disk-bytes "$1" '[0-9]+'; } # NODE

pair_fail_if_shrunk() {
  local disk volume
  pair_is_up || return 0
  disk=$(pair_disk_bytes) volume=$(pair_volume_bytes)
  ((disk >= volume)) ||
    pair_fail "$PAIR_DISK has shrunk to $disk bytes, below the volume on it ($volume): what was at its end is gone. A volume never shrinks: make the disk as large as it was, then let this node copy everything anew (drbdadm invalidate $PAIR_RESOURCE), while it is the standby"
}

pair_fail_if_sizes_differ() {
  local mine theirs
  pair_wait 120 pair_both_told || pair_fail "$PAIR_PEER has not told how large its disk is"
  mine=$(pair_size_of "$PAIR_NODE") theirs=$(pair_size_of "$PAIR_PEER")
  ((mine == theirs)) && return
  if ((mine < theirs)); then
    pair_fail "the disk of $PAIR_NODE is the smaller one: $mine bytes, and $theirs on $PAIR_PEER. Make both of one size"
  fi
  pair_fail "the disk of $PAIR_PEER is the smaller one: $theirs bytes, and $mine on $PAIR_NODE. Make both of one size"
}
