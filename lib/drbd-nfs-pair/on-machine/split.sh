#!/bin/bash
# nfs-pair-split: what to know when the copies have gone apart and the nodes do not listen to each other (StandAlone). It
# shows this side, and writes nothing.
# nfs-pair-split keep: this node listens again. For the side whose copy stays.
# nfs-pair-split discard: this side's copy is given up and made anew from the other one's; asks before.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=functions.sh
. /usr/local/lib/cdktf-ha/drbd-nfs/functions.sh
work=$(mktemp --directory)
loop=''
clean_up() {
  if mountpoint --quiet "$work"; then umount "$work"; fi
  if [[ -n $loop ]]; then losetup --detach "$loop"; fi
  rmdir "$work"
}
trap clean_up EXIT

newest() { # DIRECTORY
  find "$1" -xdev -type f -not -path "$1/state/*" -printf '%T@ %T+ %s bytes /%P\n' |
    sort --numeric-sort --reverse | sed -nE '1,20s/^[0-9.]+ ([-0-9]+)\+([0-9:]+)[.0-9]*/  \1 \2/p'
}

# The disk below DRBD by a device that cannot write: neither DRBD nor the disk sees more than reads.
look() {
  local options
  case $PAIR_FILE_SYSTEM in
    xfs) options=ro,norecovery,nouuid ;;
    ext4) options=ro,noload ;;
  esac
  blockdev --flushbufs "$PAIR_DISK"
  loop=$(losetup --find --show --read-only "$PAIR_DISK")
  mount --types "$PAIR_FILE_SYSTEM" --options "$options" "$loop" "$work" && newest "$work"
}

show() {
  local current bitmap _
  IFS=: read -r current bitmap _ < <(drbdadm get-gi "$PAIR_RESOURCE")
  printf '%s\n' "$PAIR_NODE:" \
    "  role        $(drbdadm role "$PAIR_RESOURCE")" \
    "  connection  $(pair_connection)" \
    "  disks       $(pair_disks)" \
    "  generation  $current, parted from the other copy at $bitmap" \
    "last writes:"
  if pair_serves; then
    newest "$PAIR_DIRECTORY"
  else
    look || echo "  (the file system cannot be read as it is)"
    echo "  (what its log still holds is not counted: this side may have seconds more)"
  fi
}

must_be_apart() {
  case $(pair_connection) in
    StandAlone | WFConnection) ;;
    '') pair_fail "DRBD is not up here" ;;
    *) pair_fail "the nodes listen to each other ($(pair_connection)): there is nothing to decide" ;;
  esac
}

connect() {
  [[ $(pair_connection) != StandAlone ]] || drbdadm connect "$@" "$PAIR_RESOURCE"
}

case ${1:-show} in
  show)
    show
    printf '%s\n' "Compare with the same on $PAIR_PEER. Then, where the copy goes: nfs-pair-split discard. Where it stays: nfs-pair-split keep."
    ;;
  keep)
    must_be_apart
    connect
    # decided: should the other one still differ when it comes back, DRBD finds that again
    rm --force /var/lib/cdktf-ha-nfs/split
    echo "$PAIR_NODE keeps its copy and listens"
    ;;
  discard)
    must_be_apart
    show
    [[ $(drbdadm role "$PAIR_RESOURCE") != Primary* ]] ||
      pair_fail "this node serves from this copy. First, so that it stops: crm_resource --ban --resource ha-drbd-clone --promoted --node $PAIR_NODE; afterwards crm_resource --clear --resource ha-drbd-clone --node $PAIR_NODE"
    printf '%s\n' "Everything that only this copy has is lost. To give it up type the name of this node ($PAIR_NODE):"
    read -r answer || answer=''
    [[ $answer == "$PAIR_NODE" ]] || pair_fail "not given up: '$answer' is not $PAIR_NODE"
    pair_note "$PAIR_NODE's copy is given up, by hand"
    [[ $(pair_connection) == StandAlone ]] || drbdadm disconnect "$PAIR_RESOURCE"
    connect --discard-my-data
    echo "as soon as $PAIR_PEER listens (nfs-pair-split keep, there) this copy is made anew from it"
    ;;
  *) pair_fail "nfs-pair-split [keep | discard]" ;;
esac
