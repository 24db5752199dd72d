#!/bin/bash
# Fetches the URLs of a list through this node's own Squid, so that a node that is new has them before it has visitors. Once for
# a list and a cache; `squid-warm --again` by hand. What siblings have comes from them. A page that fails delays nobody.
set -uo pipefail
# shellcheck source-path=SCRIPTDIR source=functions.sh
. /usr/local/lib/cdktf-ha/squid-functions
list=/etc/squid/cdktf-ha-warm
marker=/var/lib/cdktf-ha-squid/warmed
[[ -s $list ]] || exit 0
now=$(sha256sum <"$list")
[[ ${1:-} == --again || $(cat "$marker" 2>/dev/null) != "$now" ]] || exit 0
for ((i = 0; i < 150; i++)); do
  [[ -z $(squid_state "$(squid_port)") ]] || break
  sleep 0.2
done
# --insecure: the way to oneself; the certificate is for a name that leads elsewhere
fetch() { curl --silent --fail --globoff --insecure --max-time 20 --output /dev/null --connect-to '::127.0.0.1:' "$1" && echo "$1"; }
export -f fetch
# shellcheck disable=SC2016 # expanded inside
fetched=$(timeout 60 xargs --arg-file="$list" --delimiter='\n' --max-args=1 --max-procs=4 bash -c 'fetch "$0"' | wc -l)
echo "cache warmed: $fetched of $(wc -l <"$list") URLs"
mkdir -p "${marker%/*}"
printf '%s\n' "$now" >"$marker"
