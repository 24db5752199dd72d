#!/bin/bash
# Before anything is changed, with the new files in view: is this still the same node, can this machine run it, does Cassandra's
# own loader take its configuration? The release is fetched here too, into a directory of its own.
# shellcheck source-path=SCRIPTDIR source=functions.sh
. /usr/local/lib/cdktf-ha/cassandra/functions.sh

ring_read_marker
if [[ -n $NODE_STATE ]]; then
  [[ $NODE_CLUSTER == "$RING_CLUSTER" ]] ||
    ring_fail "this node belongs to the cluster '$NODE_CLUSTER' and cannot become a node of '$RING_CLUSTER': a cluster keeps its name for life"
  [[ $NODE_DATACENTER == "$RING_DATACENTER" && $NODE_RACK == "$RING_RACK" ]] ||
    ring_fail "this node is in datacenter $NODE_DATACENTER, rack $NODE_RACK. Its rows lie by that: it cannot move to $RING_DATACENTER, $RING_RACK. Decommission it (take its name out of the code, apply), then add it anew"
  [[ $NODE_TOKENS == "$RING_TOKENS" ]] ||
    ring_fail "this node has $NODE_TOKENS tokens, and a node keeps its tokens for life. For $RING_TOKENS each: a new datacenter with that number, then the old one removed"
fi
ring_read_release
if [[ -n $NODE_RELEASE ]]; then
  from=${NODE_RELEASE%%.*} to=${RING_RELEASE%%.*}
  ((to <= from + 1)) ||
    ring_fail "this node runs Cassandra $NODE_RELEASE, and $RING_RELEASE reads what $((to - 1)).x has written, not what $from.x has: the whole ring to a release of $((from + 1)).x first, then nodetool upgradesstables on every node"
  ((to >= from || to >= 4)) ||
    ring_fail "this node runs Cassandra $NODE_RELEASE, whose files $RING_RELEASE cannot read: there is no way back to $to.x but a snapshot from before"
fi
ring_find_java
memory=$(ring_memory_mib) heap=$(ring_heap_mib)
((heap * 10 <= memory * 8)) || ring_fail "a heap of $heap MiB does not fit into this machine's $memory MiB: Java needs as much again outside of the heap, files in memory the rest"
bash "$RING_LIB/install.sh"
# A daemon that was started with just these, and serves, has said more than its loader could.
if systemctl is-active --quiet "$RING_UNIT" && ring_open "$RING_ADDRESS" 9042 && ring_runs_these; then exit 0; fi
ring_read_tool_options
words=$(mktemp)
# A tool of every release that loads the configuration as the daemon does, and then does to a list of files, which is empty
# here, what it is for.
if ! timeout 120 "$RING_JAVA" -Xmx256M "${RING_TOOL_OPTIONS[@]}" \
  org.apache.cassandra.tools.SSTableRepairedAtSetter --really-set --is-repaired -f /dev/null >"$words" 2>&1; then
  grep -vE '^\s+at |^\s*$' "$words" | awk '!seen[$0]++' | head -n 10 >&2
  rm -f "$words"
  exit 1
fi
rm -f "$words"
# Java says nothing of an option that it does not know until the daemon starts with it.
if ! "$RING_JAVA" "${RING_OPTIONS[@]}" "-Xmx${heap}M" -XX:-AlwaysPreTouch -version >"/tmp/cdktf-ha-java-words" 2>&1; then
  head -n 5 /tmp/cdktf-ha-java-words >&2
  exit 1
fi
