#!/bin/bash
# Before Squid starts: a cache of another form than the one on disk would not be understood. Only what Squid itself made goes.
set -euo pipefail
read -r _ kind directory rest < <(cat /etc/squid/cdktf-ha-store.conf /etc/squid/cdktf-ha-sizes.conf 2>/dev/null | grep '^cache_dir ') || exit 0
form=$kind
[[ $kind != rock ]] || form="rock $rest" # its file is made in its full size
marker=$directory/.cdktf-ha-store
if [[ $(cat "$marker" 2>/dev/null) != "$form" ]]; then
  find "$directory" -mindepth 1 -maxdepth 1 \( -name 'rock*' -o -name 'swap.state*' -o -name '[0-9A-F][0-9A-F]' \) -exec rm -rf {} +
  printf '%s\n' "$form" >"$marker"
  rm -f /var/lib/cdktf-ha-squid/warmed
fi
