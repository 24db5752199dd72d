#!/bin/bash
# Up, normal, and open for clients.
# shellcheck source-path=SCRIPTDIR source=functions.sh
. /usr/local/lib/cdktf-ha/cassandra/functions.sh
systemctl is-active --quiet "$RING_UNIT" || ring_fail "cassandra.service is not active"
ring_open "$RING_ADDRESS" 9042 || ring_fail "port 9042 does not answer"
states=$(ring_states)
grep -qxF "UN $RING_ADDRESS" <<<"$states" || ring_fail "this node is not up and normal: $(tr '\n' ';' <<<"$states")"
