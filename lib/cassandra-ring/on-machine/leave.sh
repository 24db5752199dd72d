#!/bin/bash
# The node's name has left the code: its rows go to the others before it stops. Refused where they could not take them.
# shellcheck source-path=SCRIPTDIR source=functions.sh
. /usr/local/lib/cdktf-ha/cassandra/functions.sh

# The whole ring goes (terraform destroy): nobody is left to hand rows to, and the data stays where it is.
if [[ -n $(find /run/cdktf-ha-dissolve -mmin -60 2>/dev/null) ]]; then
  ring_note "the whole ring goes: stopped, the data stays"
  exit 0
fi
if ! systemctl is-active --quiet "$RING_UNIT"; then
  ring_fail "the node is not running, so it cannot hand over its rows. Start it (systemctl start cassandra); or, if it is lost: nodetool removenode on another node"
fi
others=$(ring_states | awk -v own="$RING_ADDRESS" '$2 != own { print $2 }' | paste -sd ' ')
if [[ -z $others ]]; then
  ring_note "the last node of its ring: stopped, the data stays"
  exit 0
fi
ring_wait_until_normal 120 "a node only leaves while all others are there"
# shellcheck disable=SC2086 # addresses
ring_cql leave $others
systemctl disable --quiet --now "$RING_UNIT"
aside=$RING_DATA/left-$(date --utc +%Y%m%dT%H%M%SZ)
mkdir "$aside"
for part in data commitlog hints saved_caches first-start cdktf-ha-node cdktf-ha-upkeep; do
  if [[ -e $RING_DATA/$part ]]; then mv "$RING_DATA/$part" "$aside/"; fi
done
ring_note "decommissioned; its rows are on the other nodes, what it had is in $aside"
