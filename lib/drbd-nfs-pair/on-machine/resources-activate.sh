#!/bin/bash
# Tells Pacemaker what the code says. Before the very first time the volume is made, on one node.
# shellcheck source-path=SCRIPTDIR source=functions.sh
. /usr/local/lib/cdktf-ha/drbd-nfs/functions.sh

# Pacemaker itself has taken both in: else the one that it has not seen yet counts as lost, and is to be switched off.
joined() {
  (($(cibadmin --query --xpath "//node_state[@join='member']" 2>/dev/null | grep --count '<node_state ') == 2))
}
connected() { [[ $(pair_connection) == Connected ]]; }

# Nobody has ever written to either copy: both are taken for equal, without copying one to the other.
first_sync() {
  pair_wait 120 pair_sees_both || pair_fail "$PAIR_PEER has not joined the cluster"
  pair_wait 120 joined || pair_fail "Pacemaker has not taken $PAIR_PEER in"
  pair_wait 120 connected || pair_fail "DRBD does not reach $PAIR_PEER ($(pair_connection))"
  case $(pair_disks) in
    Inconsistent/Inconsistent)
      pair_note "both copies are new: they begin as equals"
      drbdadm new-current-uuid --clear-bitmap "$PAIR_RESOURCE/0"
      ;;
    UpToDate/UpToDate) ;; # cut short after that, or the volume of a pair that was here before
    *) pair_fail "the copies are $(pair_disks): with no cluster yet that has to be understood by a person first" ;;
  esac
  drbdadm primary "$PAIR_RESOURCE"
  trap 'umount "$PAIR_DIRECTORY" 2>/dev/null; drbdadm secondary "$PAIR_RESOURCE"' EXIT
  if [[ -z $(blkid --probe --output value --match-tag TYPE "$PAIR_DEVICE") ]]; then
    pair_note "makes a file system ($PAIR_FILE_SYSTEM) on the volume"
    "mkfs.$PAIR_FILE_SYSTEM" -q "$PAIR_DEVICE"
  fi
  mount --types "$PAIR_FILE_SYSTEM" "$PAIR_DEVICE" "$PAIR_DIRECTORY"
  bash /usr/local/lib/cdktf-ha/drbd-nfs/directories.sh
  umount "$PAIR_DIRECTORY"
  drbdadm secondary "$PAIR_RESOURCE"
  trap - EXIT
}

if ! pair_is_managed; then
  [[ $PAIR_NODE == "$PAIR_FOUNDER" ]] || pair_fail "Pacemaker knows of no resources, and $PAIR_FOUNDER is to begin"
  first_sync
fi
bash /usr/local/lib/cdktf-ha/drbd-nfs/merge-cib.sh /etc/cdktf-ha/drbd-nfs-cib.xml
