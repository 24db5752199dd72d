#!/bin/bash
# The data volume, by its id: a file system where it has none at all, then mounted. A volume that holds anything is never
# formatted; one that was just attached may take a moment to be there.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=functions.sh
. /usr/local/lib/cdktf-ha/cassandra/functions.sh
[[ -n $RING_VOLUME ]] || exit 0
if mountpoint --quiet "$RING_DATA"; then
  xfs_growfs "$RING_DATA" >/dev/null # a volume that has grown
  exit 0
fi
device=$RING_DEVICE
for _ in {1..60}; do
  [[ ! -b $device ]] || break
  sleep 1
done
[[ -b $device ]] || ring_fail "volume $RING_VOLUME is not at this machine: there is no $device"
found=$(blkid --probe --output export "$device" || true)
if [[ -z $found ]]; then
  ring_note "makes a file system on $RING_VOLUME"
  mkfs.xfs -q -L ha-cassandra "$device"
  udevadm settle
elif ! grep -qxF LABEL=ha-cassandra <<<"$found"; then
  ring_fail "volume $RING_VOLUME holds something else: $(tr '\n' ' ' <<<"$found")"
fi
mkdir -p "$RING_DATA"
[[ -z $(find "$RING_DATA" -mindepth 1 -maxdepth 1 -print -quit) ]] || ring_fail "$RING_DATA is not empty: the volume would cover what lies there"
systemctl enable --now --quiet var-lib-cassandra.mount
