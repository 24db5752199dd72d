#!/bin/bash
# On each node, one after the other: what a change of the ring or of a keyspace has made necessary here.
# shellcheck source-path=SCRIPTDIR source=functions.sh
. /usr/local/lib/cdktf-ha/cassandra/functions.sh
ring_cql upkeep
