#!/bin/bash
# The node's name has left the code: its rows go to the others before it stops. Refused where they could not take them.
# shellcheck source-path=SCRIPTDIR source=functions.sh
. /usr/local/lib/cdktf-ha/cassandra/functions.sh

# The whole ring goes (terraform destroy): nobody is left to hand rows to, and the data stays where it is.
if [[ -n $(find /run/cdktf-ha-dissolve -mmin -15 2>/dev/null) ]]; then
  ring_note "the whole ring goes: stopped, the data stays"
  exit 0
fi
set_aside() {
  local aside part
  systemctl disable --quiet --now "$RING_UNIT"
  aside=$RING_DATA/left-$(date --utc +%Y%m%dT%H%M%SZ)
  mkdir "$aside"
  for part in "$RING_DATA"/{data,commitlog,hints,saved_caches,first-start} "$RING_DATA"/cdktf-ha-*; do
    if [[ -e $part ]]; then mv "$part" "$aside/"; fi
  done
  ring_note "$1; its rows are on the other nodes, what it had is in $aside"
}

# A farewell that was cut off, or removenode: a node that has left answers nobody, so the others are asked.
if [[ $(ring_cql gone) == gone ]]; then
  set_aside "is no member of the ring any more"
  exit 0
fi
if ! systemctl is-active --quiet "$RING_UNIT"; then
  ring_fail "the node is not running, so it cannot hand over its rows. Start it (systemctl start cassandra); or, if it is lost: nodetool removenode on another node, and apply again"
fi
states=$(ring_states) || ring_fail "nodetool has no answer, so it is not known whether others are there to take its rows"
others=$(awk -v own="$RING_ADDRESS" '$2 != own' <<<"$states")
if [[ -z $others ]]; then
  ring_note "the last node of its ring: stopped, the data stays"
  exit 0
fi
ring_cql leave
set_aside decommissioned
