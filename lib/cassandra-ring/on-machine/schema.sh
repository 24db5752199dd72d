#!/bin/bash
# On one node, when all are there: keyspaces and roles.
# shellcheck source-path=SCRIPTDIR source=functions.sh
. /usr/local/lib/cdktf-ha/cassandra/functions.sh
ring_cql schema "$RING_ETC/schema.json" "$HA_PREVIOUS/root$RING_ETC/schema.json"
