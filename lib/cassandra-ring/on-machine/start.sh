#!/bin/bash
# What systemd runs, as user cassandra: Java with the options of /etc/cassandra/jvm.options and the heap of this machine.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=functions.sh
. /usr/local/lib/cdktf-ha/cassandra/functions.sh
ring_find_java
ring_read_options
ring_read_marker
# An empty node whose seeds name itself would skip its bootstrap and serve an empty disk.
case $NODE_STATE in
  joined) ;;
  joining) [[ -e $RING_FIRST/options ]] || ring_fail "this node has not joined its ring yet: only an apply may start it" ;;
  *) ring_fail "$RING_DATA knows of no ring that this node has joined (it has left, or its disk is not mounted): only an apply may start it" ;;
esac
heap=$(ring_heap_mib)
options=("-Xms${heap}M" "-Xmx${heap}M")
for agent in "$RING_HOME"/lib/jamm-*.jar; do
  if [[ -e $agent ]]; then options+=("-javaagent:$agent"); fi
done
if [[ -n $RING_METRICS ]]; then options+=("-javaagent:${RING_METRICS/@ADDRESS@/$RING_ADDRESS}"); fi
config=$RING_YAML
# Until it has joined: seeds without the node itself, whom to replace.
if [[ $NODE_STATE == joining ]]; then
  mapfile -t first <"$RING_FIRST/options"
  options+=("${first[@]}")
  if [[ -e $RING_FIRST/cassandra.yaml ]]; then config=$RING_FIRST/cassandra.yaml; fi
fi
ring_fingerprint >"$RING_STARTED_WITH"
printf '%s\n' "$RING_TLS_CLIENT" >"$RING_STARTED_WITH.tls"
export MALLOC_ARENA_MAX=4
# our options first: what the user adds in jvm.options comes later and counts
exec "$RING_JAVA" "${options[@]}" "${RING_OPTIONS[@]}" \
  -Dcassandra.config="file://$config" \
  -Dcassandra.storagedir="$RING_DATA" \
  -Dcassandra.logdir="$RING_DATA/logs" \
  -Djava.io.tmpdir=/tmp \
  -XX:HeapDumpPath="$RING_DATA" \
  -XX:ErrorFile="$RING_DATA/hs_err_%p.log" \
  -Dlogback.configurationFile=file:///etc/cassandra/logback.xml \
  -Dcassandra-foreground=yes \
  -cp "$(ring_class_path)" \
  org.apache.cassandra.service.CassandraDaemon
