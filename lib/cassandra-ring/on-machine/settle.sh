#!/bin/bash
# What only a running node can be told or asked: the superuser, who it is, and whether a quorum takes and gives a row by way of it.
# shellcheck source-path=SCRIPTDIR source=functions.sh
. /usr/local/lib/cdktf-ha/cassandra/functions.sh
ring_cql settle "$HA_PREVIOUS/root$RING_ETC/login"
