#!/bin/bash
# systemctl reload squid: the new configuration is read, the cache stays, and no request fails.
set -uo pipefail
# shellcheck source-path=SCRIPTDIR source=functions.sh
. /usr/local/lib/cdktf-ha/squid-functions
wanted=$(sed -n 's|^deny_info 303:http://state.invalid/\([0-9A-Za-z]*\).*|\1|p' "$conf")
workers=$(sed -n 's/^workers //p' /etc/squid/cdktf-ha-store.conf)
log=/var/log/squid/cache.log
before=$(squid_sockets)
logged=$(stat --format=%s "$log")
# One worker opens its sockets anew. Several keep those that they share, and each logs that it has read.
has_read() {
  if ((workers > 1)); then
    (($(tail --bytes=+$((logged + 1)) "$log" | grep --count "Accepting .* local=127\.0\.0\.1:$(squid_port) ") >= workers))
  else
    [[ $(squid_sockets) != "$before" ]]
  fi
}
trap squid_release EXIT
squid_hold
# Whoever still waits for a sibling's answer gets an error when the siblings are read anew: 100 ms at most, or as long as lines of the user's
# own say, or said so far. Those who are held send again after a second anyway.
said=/run/cdktf-ha-squid-waits
waits() { grep --no-filename -E '^((maximum|minimum)_)?icp_query_timeout ' "$@" 2>/dev/null; }
squid_let_end "$(waits "$conf" "$said" | awk '$2 > ms { ms = $2 } END { print (ms > 5000 ? 5000 : ms) + 400 }')"
kill -HUP "$MAINPID"
same=0
for ((i = 0; i < 500; i++)); do
  if has_read && [[ $(squid_state "$(squid_port)") == "$wanted" ]]; then same=$((same + 1)); else same=0; fi
  if ((same == 3)); then
    waits "$conf" >"$said"
    exit 0
  fi
  sleep 0.02
done
echo "squid does not answer with its new configuration"
exit 1
