#!/usr/bin/env bash
# fetch.sh [RELEASE...]: Cassandra's jars from Maven Central into the cache of machines/, laid out like Apache's archive:
#   CACHE/cassandra-RELEASE/opt/cassandra-RELEASE/lib/*.jar
# A layer for the machines of a test, and what test/daemons loads configurations with. Needs the network, so it runs before
# the sealed lab; what is there already is left alone. Prints each directory.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cache=${HA_MACHINES_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/cdktf-ha-clusters}
(($#)) || set -- 5.0.5 5.0.6
mkdir -p "$cache"
for release in "$@"; do
  target=$cache/cassandra-$release
  if [[ ! -d $target ]]; then
    [[ -z ${HA_LAB:-} ]] || { echo "$0: Cassandra $release is not here yet, and a sealed lab has no network: run test/machines/support/cassandra/fetch.sh first" >&2; exit 1; }
    command -v mvn >/dev/null || { echo "$0: maven is needed to fetch Cassandra $release" >&2; exit 1; }
    new=$(mktemp -d "$cache/cassandra-new-XXXXXX")
    chmod 755 "$new"
    trap 'rm -rf "$new"' EXIT
    mvn --batch-mode --quiet --file "$here/pom.xml" -Dcassandra.version="$release" -DoutputDirectory="$new/opt/cassandra-$release/lib" \
      dependency:copy-dependencies >&2
    [[ -e $new/opt/cassandra-$release/lib/cassandra-all-$release.jar ]] || { echo "$0: no cassandra-all-$release.jar came" >&2; exit 1; }
    mv -T "$new" "$target" 2>/dev/null || [[ -d $target ]] # somebody else was faster
    rm -rf "$new"
  fi
  echo "$target"
done
