#!/bin/bash
# Squid's counters as Prometheus has them, in a file for the node exporter's textfile collector. A timer runs this.
set -uo pipefail
# shellcheck source-path=SCRIPTDIR source=functions.sh
. /usr/local/lib/cdktf-ha/squid-functions
file=$1/squid.prom

page() { curl --silent --fail --max-time 5 "http://127.0.0.1:$(squid_port)/squid-internal-mgr/$1"; }

metrics() {
  local counters info
  if ! { counters=$(page counters) && info=$(page info); }; then
    printf '# TYPE squid_up gauge\nsquid_up 0\n'
    return
  fi
  printf '# TYPE squid_up gauge\nsquid_up 1\n'
  awk '$2 == "=" && $1 != "sample_time" && $3 ~ /^[0-9]+(\.[0-9]+)?$/ {
    name = "squid_" $1 "_total"
    gsub(/[^A-Za-z0-9]/, "_", name)
    printf "# TYPE %s counter\n%s %s\n", name, name, $3
  }' <<<"$counters"
  awk -F: '
    function gauge(name, factor) { printf "# TYPE squid_%s gauge\nsquid_%s %d\n", name, name, $2 * factor }
    /^\tStorage Swap size:/ { gauge("disk_cache_bytes", 1024) }
    /^\tStorage Mem size:/ { gauge("memory_cache_bytes", 1024) }
    /^\tNumber of file desc currently in use:/ { gauge("open_files", 1) }
    /^\tMaximum number of file descriptors:/ { gauge("open_files_limit", 1) }
    /^\tNumber of clients accessing cache:/ { gauge("clients", 1) }' <<<"$info"
}

# as a whole or not at all: the collector may read at any moment
metrics >"$file.new" && chmod 644 "$file.new" && mv "$file.new" "$file"
