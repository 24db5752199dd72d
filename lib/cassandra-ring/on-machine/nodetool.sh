#!/bin/bash
# nodetool of the release that runs here, in whatever way that came to the machine.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=functions.sh
. /usr/local/lib/cdktf-ha/cassandra/functions.sh
ring_find_java
ring_read_tool_options
exec "$RING_JAVA" -Xmx128M "${RING_TOOL_OPTIONS[@]}" -Duser.home=/run org.apache.cassandra.tools.NodeTool "$@"
