#!/bin/bash
# fence-peer HANDLER: what DRBD asks on a primary that has lost its peer, while every write waits for the answer. DRBD's own handler waits 90 s for
# the peer to be switched off, and then takes it for dead (5). That is right where this half of the cluster may go on. One that may not
# would write alone, while the other half, once its fence device answers, does the same: so it asks again until it may, and else never lets go.
set -uo pipefail
for _ in {1..40}; do # an hour
  "$@"
  status=$?
  ((status == 5)) || exit "$status"
  quorum=$(corosync-quorumtool -s 2>/dev/null)
  [[ ! $quorum =~ Quorate:\ +Yes ]] || exit "$status"
  logger --tag cdktf-ha-nfs "the peer does not answer, and this node has no quorum: writes go on waiting"
  sleep 2
done
logger --tag cdktf-ha-nfs "there has been no quorum for an hour: writes stay frozen until the peer is back, or this node is started anew"
exit 1
