#!/bin/bash
# Makes DRBD use its files. Metadata are made only where there is none, on a disk where nothing else is; Pacemaker alone
# brings the resource up and down as soon as it knows of it.
# shellcheck source-path=SCRIPTDIR source=functions.sh
. /usr/local/lib/cdktf-ha/drbd-nfs/functions.sh
# shellcheck source-path=SCRIPTDIR source=adopt.sh
. /usr/local/lib/cdktf-ha/drbd-nfs/adopt.sh

# A primary that lost power has metadata that cannot be dumped: silence is no sign that there is none.
has_metadata() {
  local words
  words=$(drbdadm dump-md "$PAIR_RESOURCE" 2>&1) && return 0
  case $words in
    *'No valid meta data found'* | *'no valid meta data found'*) return 1 ;;
    *unclean* | *'apply-al'* | *'is configured'*) return 0 ;;
    *) pair_fail "whether $PAIR_DISK has metadata of DRBD cannot be told: $words" ;;
  esac
}

fail_if_mounted() {
  [[ -z $(lsblk --noheadings --output MOUNTPOINTS "$PAIR_DISK" | tr -d '[:space:]') ]] || pair_fail "$PAIR_DISK is mounted"
}

make_metadata() {
  local found
  if [[ -n $PAIR_META_DISK ]]; then
    found=$(wipefs --noheadings --output TYPE,LABEL "$PAIR_META_DISK") || pair_fail "$PAIR_META_DISK cannot be read"
    [[ -z $found ]] || pair_fail "$PAIR_META_DISK holds ${found//$'\n'/, }: it is not overwritten. If nothing on it is needed: wipefs --all $PAIR_META_DISK"
  fi
  if [[ $PAIR_ADOPTS == "$PAIR_NODE" ]]; then
    fail_if_mounted
    pair_adopt_disk
    return
  fi
  found=$(wipefs --noheadings --output TYPE,LABEL "$PAIR_DISK") || pair_fail "$PAIR_DISK cannot be read"
  [[ -z $found ]] ||
    pair_fail "$PAIR_DISK holds ${found//$'\n'/, }: it is not overwritten. If nothing on it is needed: wipefs --all $PAIR_DISK"
  fail_if_mounted
  # asks nothing; there is nothing to ask about on an empty disk
  drbdadm create-md --force "$PAIR_RESOURCE"
  pair_note "$PAIR_DISK is a new copy"
}

modprobe drbd
if systemctl is-enabled --quiet drbd.service; then systemctl disable --quiet drbd.service; fi
if ! pair_is_up && ! has_metadata; then make_metadata; fi
if pair_is_up || ! pair_is_managed; then drbdadm adjust "$PAIR_RESOURCE"; fi
