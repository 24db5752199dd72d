#!/bin/bash
# Taking over the disk of a single server, with everything on it. Read after functions.sh, on the node that the code names.
adopts=/var/lib/cdktf-ha-nfs/adopts

# DRBD's own notes go behind the file system's end; its program refuses where that is no room.
pair_adopt_disk() {
  local found words
  found=$(blkid --probe --usages filesystem --output value --match-tag TYPE "$PAIR_DISK") || true
  [[ $found == "$PAIR_FILE_SYSTEM" ]] ||
    pair_fail "$PAIR_DISK holds ${found:-no file system}: to be taken over it must hold $PAIR_FILE_SYSTEM, as 'fileSystem' says"
  mkdir --parents "${adopts%/*}"
  # before the notes are there: from now on this disk is never taken for an empty one
  touch "$adopts"
  words=$(drbdadm create-md --force "$PAIR_RESOURCE" 2>&1) ||
    pair_fail "$PAIR_DISK is not taken over, and as it was: $words. Behind the file system 32 MiB for each TiB, and 1 MiB more, have to be free: make the disk larger (lvextend) without its file system, on both nodes, or name a 'metaDisk'"
  pair_note "$PAIR_DISK is taken over with what is on it"
}

# The only copy there is: the other node's is made from it.
pair_adopt_copy() {
  [[ -e $adopts ]] || pair_fail "$PAIR_DISK held no file system when it came to DRBD: there is nothing to take over. Take 'adopt' out of the code"
  pair_note "the copy of $PAIR_NODE is the good one: $PAIR_PEER copies it"
  drbdadm primary --force "$PAIR_RESOURCE"
}

# What lay at the volume's top is the export from now on: renamed, not copied.
pair_adopt_files() {
  local whole=$PAIR_DIRECTORY/.cdktf-ha-adopts export=$PAIR_DIRECTORY/exports/$PAIR_ADOPT_EXPORT
  [[ -e $adopts ]] || return 0
  if [[ ! -d $export || -d $whole ]]; then
    rmdir "$PAIR_DIRECTORY/exports" 2>/dev/null || true # of a move that was cut short
    mkdir --parents "$whole"
    chown --reference="$PAIR_DIRECTORY" "$whole"
    chmod --reference="$PAIR_DIRECTORY" "$whole"
    find "$PAIR_DIRECTORY" -mindepth 1 -maxdepth 1 ! -path "$whole" ! -name lost+found -exec mv --target-directory="$whole" {} +
    mkdir "$PAIR_DIRECTORY/exports"
    mv --no-target-directory "$whole" "$export"
  fi
  rm "$adopts"
}
