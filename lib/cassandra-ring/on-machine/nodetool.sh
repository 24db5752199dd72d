#!/bin/bash
# nodetool of the release that runs here, in whatever way that came to the machine.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=functions.sh
. /usr/local/lib/cdktf-ha/cassandra/functions.sh
ring_find_java
ring_read_tool_options
# it is gone after a second, before a second compiler could be worth its work: half of the processor time
exec "$RING_JAVA" -Xmx128M -XX:TieredStopAtLevel=1 "${RING_TOOL_OPTIONS[@]}" -Duser.home=/run org.apache.cassandra.tools.NodeTool "$@"
