#!/bin/sh
# What Heartbeat's own scripts have in common, and one function of it anew. Several of them tell Heartbeat something at once by one FIFO; the package's
# function writes a message in pieces, so two got mixed up, and a node then held nothing for ever and could not be stopped.
# shellcheck source=/dev/null
. /etc/ha.d/shellfuncs.package

# A message from standard input, in one write: up to 4 KiB (PIPE_BUF) nobody else's gets in between. Opened for reading too: else it waits for ever once
# Heartbeat is gone, and its unit with it.
ha_clustermsg() {
  printf '>>>\n%s\n<<<\n' "$(cat)" 1<>"$HA_FIFO"
}
