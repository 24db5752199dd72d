#!/bin/bash
# nodetool of the release that runs here, in whatever way that came to the machine.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=functions.sh
. /usr/local/lib/cdktf-ha/cassandra/functions.sh
ring_find_java
ring_read_options
modules=()
for option in "${RING_OPTIONS[@]}"; do
  if [[ $option == --add-* ]]; then modules+=("$option"); fi
done
exec "$RING_JAVA" -Xmx128M -XX:+UseSerialGC -XX:TieredStopAtLevel=1 "${modules[@]}" \
  -Dlogback.configurationFile=file:///etc/cassandra/logback-tools.xml \
  -Dcassandra.config="file://$RING_YAML" \
  -Dcassandra.storagedir="$RING_DATA" \
  -Duser.home=/run \
  -cp "$(ring_class_path)" \
  org.apache.cassandra.tools.NodeTool "$@"
