#!/bin/bash
# volume.sh ID DEVICE LABEL DIRECTORY UNIT: a data volume is mounted by its unit, with a file system where it has none at all, and the
# file system grows with it. A volume that holds anything else is never formatted; one that was just attached may take a moment to be there.
set -euo pipefail
id=$1 device=$2 label=$3 directory=$4 unit=$5

fail() {
  printf '%s\n' "$*" >&2
  exit 1
}

if mountpoint --quiet "$directory"; then
  xfs_growfs "$directory" >/dev/null # a volume that has grown
  exit 0
fi
for _ in {1..60}; do
  [[ ! -b $device ]] || break
  sleep 1
done
[[ -b $device ]] || fail "volume $id is not at this machine: there is no $device"
status=0
found=$(blkid --probe --output export "$device") || status=$?
# 2 is that there is nothing; whatever else fails says nothing about it
((status == 0 || status == 2)) || fail "what volume $id holds cannot be told: blkid --probe $device ends with $status"
if [[ -z $found ]]; then
  logger --tag cdktf-ha-volume -- "makes a file system on $id" || true
  mkfs.xfs -q -L "$label" "$device"
  udevadm settle
elif ! grep -qxF "LABEL=$label" <<<"$found"; then
  fail "volume $id holds something else: $(tr '\n' ' ' <<<"$found")"
fi
mkdir -p "$directory"
[[ -z $(find "$directory" -mindepth 1 -maxdepth 1 -print -quit) ]] || fail "$directory is not empty: the volume would cover what lies there"
systemctl enable --now --quiet "$unit"
