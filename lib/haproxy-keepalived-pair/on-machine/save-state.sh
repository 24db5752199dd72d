#!/bin/bash
# Before a reload or a stop, and once the code's own states are told: what was said about servers (drain, maintenance,
# weight) and what the checks found out is read again by the next process, also after a crash or a power cut. Not having a
# state to save is no reason not to go on.
#
# HAProxy would also give a server its old address, port, TLS and check port back, against a configuration in which they
# were changed. So the file has the port that the configuration says, none of the others, and no server that has left.
# The node's own push and a server's, which comes back after its change, may both save at the same time: each has a file of its own.
state=/var/lib/haproxy/server-state
new=$(mktemp "$state.XXXXXX") || exit 0
trap 'rm -f "$new"' EXIT
chmod 644 "$new"
# shellcheck disable=SC2016 # awk's own variables
from_configuration='
  NR == FNR {
    if ($1 == "backend") backend = $2
    if ($1 == "server") { port[backend, $2] = $3; sub(/.*:/, "", port[backend, $2]) }
    next
  }
  /^#/ || NF < 20 { print; next }
  ($2, $4) in port { $5 = "-"; $19 = port[$2, $4]; NF = 20; print }'
if socat -t 5 STDIO UNIX-CONNECT:/run/haproxy/admin.sock <<<'show servers state' 2>/dev/null |
  awk "$from_configuration" /etc/haproxy/haproxy.cfg - >"$new" && [[ -s $new ]]; then
  sync "$new"
  mv "$new" "$state"
fi
