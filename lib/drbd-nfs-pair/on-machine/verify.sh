#!/bin/bash
# Compares both copies, block by block, while they serve: what differs is told, and the unit fails. Nothing is mended by itself:
# which copy is right is for a person to say. A timer runs this on both nodes, and the one that does not serve does it.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=functions.sh
. /usr/local/lib/cdktf-ha/drbd-nfs/functions.sh
if pair_serves; then
  echo "this node serves: $PAIR_PEER compares"
  exit 0
fi
[[ $(pair_connection) == Connected && $(pair_disks) == UpToDate/UpToDate ]] ||
  pair_fail "the copies cannot be compared now: $(pair_connection), $(pair_disks)"
drbdadm verify "$PAIR_RESOURCE"
# both ends of a comparison are called so
while [[ $(pair_connection) == Verify[ST] ]]; do sleep 5; done
[[ $(pair_connection) == Connected ]] || pair_fail "the comparison was cut short: $(pair_connection)"
differs=$(pair_out_of_sync)
mkdir --parents /var/lib/cdktf-ha-nfs
printf '%s %s\n' "$(date +%s)" "$differs" >/var/lib/cdktf-ha-nfs/verified.new
mv /var/lib/cdktf-ha-nfs/verified.new /var/lib/cdktf-ha-nfs/verified
if ((differs)); then
  pair_note "the copies differ in $differs KiB"
  pair_fail "the copies differ in $differs KiB. If the one that serves is right, on this node: drbdadm disconnect $PAIR_RESOURCE && drbdadm connect $PAIR_RESOURCE copies these blocks from it"
fi
pair_note "the copies are equal"
