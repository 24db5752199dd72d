#!/bin/bash
# Tells Pacemaker what the code says. Before the very first time the volume is made, on one node.
# shellcheck source-path=SCRIPTDIR source=functions.sh
. /usr/local/lib/cdktf-ha/drbd-nfs/functions.sh
# shellcheck source-path=SCRIPTDIR source=sizes.sh
. /usr/local/lib/cdktf-ha/drbd-nfs/sizes.sh
# shellcheck source-path=SCRIPTDIR source=adopt.sh
. /usr/local/lib/cdktf-ha/drbd-nfs/adopt.sh

# Pacemaker itself has taken both in: a node that is new has the other one's configuration from then on, and one that was never
# seen would count as lost, and be switched off.
both_have_joined() {
  local node
  for node in "$PAIR_NODE" "$PAIR_PEER"; do
    cibadmin --query --xpath "//node_state[@uname='$node'][@join='member']" >/dev/null 2>&1 || return 1
  done
}
connected() { [[ $(pair_connection) == Connected || $(pair_connection) == SyncSource ]]; }

# Nobody has ever written to either copy: both are taken for equal, without copying one to the other.
begin_as_equals() {
  [[ -z $(blkid --probe --usages filesystem --output value --match-tag TYPE "$PAIR_DISK") ]] ||
    pair_fail "$PAIR_DISK holds a file system: it is not taken for empty. If it is to be kept name this node in 'adopt'"
  pair_note "both copies are new: they begin as equals"
  drbdadm new-current-uuid --clear-bitmap "$PAIR_RESOURCE/0"
}

first_sync() {
  pair_fail_if_sizes_differ
  pair_wait 120 connected || pair_fail "DRBD does not reach $PAIR_PEER ($(pair_connection))"
  case $(pair_disks) in
    Inconsistent/Inconsistent)
      if [[ -n $PAIR_ADOPTS ]]; then pair_adopt_copy; else begin_as_equals; fi
      ;;
    UpToDate/UpToDate) ;; # cut short after that, or the volume of a pair that was here before
    *) [[ $(pair_disks) == UpToDate/Inconsistent && -e $adopts ]] || # the other node copies what is taken over
      pair_fail "the copies are $(pair_disks): with no cluster yet that has to be understood by a person first" ;;
  esac
  pair_fill_volume pair_adopt_files
}

if ! pair_is_managed; then
  pair_wait 120 both_have_joined || pair_fail "$PAIR_PEER has not joined the cluster"
fi
if ! pair_is_managed; then
  [[ $PAIR_NODE == "$PAIR_FOUNDER" ]] || pair_fail "Pacemaker knows of no resources, and $PAIR_FOUNDER is to begin"
  first_sync
fi
bash /usr/local/lib/cdktf-ha/drbd-nfs/merge-cib.sh /etc/cdktf-ha/drbd-nfs-cib.xml
