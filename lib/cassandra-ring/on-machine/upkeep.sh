#!/bin/bash
# On each node, one after the other: what a change of the ring or of a keyspace has made necessary here.
# shellcheck source-path=SCRIPTDIR source=functions.sh
. /usr/local/lib/cdktf-ha/cassandra/functions.sh

# Before the first night: does the bucket take, list, give and drop what this node puts there?
tried=$RING_DATA/cdktf-ha-snapshots-tried
if [[ -e $RING_ETC/snapshots ]] && ! cmp --silent "$RING_ETC/snapshots" "$tried"; then
  # shellcheck source=/dev/null
  . "$RING_ETC/snapshots"
  if [[ $SNAPSHOT_KIND == s3 ]]; then
    object=$SNAPSHOT_TARGET/$RING_NODE/tried
    {
      aws s3 cp --only-show-errors - "$object" <<<"$RING_NODE" && aws s3 ls "$object" &&
        aws s3 cp --only-show-errors "$object" - && aws s3 rm --only-show-errors "$object"
    } >/dev/null || ring_fail "snapshots cannot be kept at $SNAPSHOT_TARGET/$RING_NODE"
  fi
  cp "$RING_ETC/snapshots" "$tried"
fi

ring_cql upkeep
