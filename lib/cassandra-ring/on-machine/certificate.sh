#!/bin/bash
# Daily: a new certificate a month before the old one ends, taken up by the running daemon.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=functions.sh
. /usr/local/lib/cdktf-ha/cassandra/functions.sh
if ring_make_stores; then
  if [[ $RING_TLS_RELOADS == yes ]]; then
    ring_nodetool reloadssl
  else
    ring_note "this release reads certificates at its start only: restart the nodes one after the other before the old ones end"
  fi
fi
