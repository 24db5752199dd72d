#!/bin/bash
# A stand-in for drbdadm, for one resource. Its "metadata" is a word at the end of the node's disk, so that it goes where the volume
# goes; the two nodes tell each other their state at DRBD's own port, through the real firewalls. Nothing is replicated.
set -euo pipefail
# shellcheck source=/dev/null
. /etc/cdktf-ha/drbd-nfs
run=/run/stand-in
here=$(sed -nE "/ on $PAIR_NODE /,/}/s/ *address (.*):7788;/\1/p" /etc/drbd.d/nfs.res)
there=$(sed -nE "/ on $PAIR_PEER /,/}/s/ *address (.*):7788;/\1/p" /etc/drbd.d/nfs.res)
end=$(($(blockdev --getsize64 "$PAIR_DISK") / 4096 - 1))
logger --tag STAND-IN -- "drbdadm $*"

disk() { dd if="$PAIR_DISK" bs=4096 skip="$end" count=1 status=none | grep --text --only-matching --extended-regexp '^(Inconsistent|UpToDate)' || true; }
set_disk() { printf '%s\n' "$1" | dd of="$PAIR_DISK" bs=4096 seek="$end" conv=notrunc,sync,fsync status=none; }
is_up() { [[ -e $run/role ]]; }
# peer [WORD]: the other node's disk, after it has been told to be WORD
peer() { socat -t 10 -T 10 - "TCP:$there:7788,connect-timeout=2" <<<"${1:-}" 2>/dev/null || true; }

case $1 in
  dump) sed -n '/^resource/,$p' /etc/drbd.d/nfs.res ;;
  dump-md)
    [[ -n $(disk) ]] || { echo "No valid meta data found" && exit 255; } >&2
    ;;
  create-md) set_disk Inconsistent ;;
  up | adjust)
    is_up && exit 0
    mkdir --parents "$run"
    echo Secondary >"$run/role"
    ln --symbolic --force "$PAIR_DISK" "$PAIR_DEVICE"
    systemd-run --quiet --collect --unit=stand-in-drbd socat "TCP-LISTEN:7788,bind=$here,fork,reuseaddr" SYSTEM:"drbdadm own"
    ;;
  down)
    systemctl stop stand-in-drbd.service 2>/dev/null || true
    rm --recursive --force "$run" "$PAIR_DEVICE"
    ;;
  own) # asked by the peer
    read -r -t 2 word || true
    [[ -z ${word:-} ]] || set_disk "$word"
    disk
    ;;
  cstate)
    is_up || exit 0
    [[ -n $(peer) ]] && echo Connected || echo WFConnection
    ;;
  dstate)
    is_up || exit 0
    other=$(peer)
    echo "$(disk)/${other:-DUnknown}"
    ;;
  new-current-uuid)
    set_disk UpToDate
    peer UpToDate >/dev/null
    ;;
  primary) echo Primary >"$run/role" ;;
  secondary)
    set_disk UpToDate
    echo Secondary >"$run/role"
    ;;
  keep) set_disk UpToDate ;; # mkfs.xfs has cleared the disk's end
  *)
    echo "the stand-in for drbdadm does not know '$1'" >&2
    exit 1
    ;;
esac
