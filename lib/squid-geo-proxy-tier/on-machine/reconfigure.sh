#!/bin/bash
# systemctl reload squid: the new configuration is read, the cache stays, and no request fails.
set -uo pipefail
# shellcheck source-path=SCRIPTDIR source=functions.sh
. /usr/local/lib/cdktf-ha/squid-functions
wanted=$(sed -n 's|^deny_info 303:http://state.invalid/\([0-9A-Za-z]*\).*|\1|p' "$conf")
before=$(squid_sockets)
trap squid_release EXIT
squid_hold
kill -HUP "$MAINPID"
# several times in a row: each worker reads it for itself
same=0
for ((i = 0; i < 500; i++)); do
  if [[ $(squid_sockets) != "$before" && $(squid_state "$(squid_port)") == "$wanted" ]]; then same=$((same + 1)); else same=0; fi
  ((same < 3)) || exit 0
  sleep 0.02
done
echo "squid does not answer with its new configuration"
exit 1
