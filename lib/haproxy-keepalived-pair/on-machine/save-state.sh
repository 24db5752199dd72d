#!/bin/bash
# Before a reload or a stop: what an operator said about servers (drain, maintenance, weight) and what the checks found
# out is read again by the next process. Not having a state to save is no reason not to go on.
state=/var/lib/haproxy/server-state
if socat -t 5 STDIO UNIX-CONNECT:/run/haproxy/admin.sock <<<'show servers state' >"$state.new" 2>/dev/null && [[ -s $state.new ]]; then
  mv "$state.new" "$state"
else
  rm -f "$state.new"
fi
