#!/bin/bash
# The weekly repair of this node's own ranges, while no other node of the ring repairs.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=functions.sh
. /usr/local/lib/cdktf-ha/cassandra/functions.sh
ring_note "weekly repair waits for its turn"
# shellcheck disable=SC2016,SC2086 # expanded inside; names
exec python3 -B "$RING_LIB/ring.py" locked upkeep bash -euo pipefail -c '
  . "$1/functions.sh"
  shift
  for keyspace in "$@"; do
    ring_note "weekly repair of $keyspace begins"
    ring_nodetool repair -full -pr "$keyspace"
    ring_note "weekly repair of $keyspace done"
  done' _ "$RING_LIB" $RING_REPAIR_KEYSPACES
