#!/usr/bin/env bash
# fetch.sh [RELEASE...] [agent]: from Maven Central into the cache of machines/
#   RELEASE   Cassandra's jars, laid out like Apache's archive: CACHE/cassandra-RELEASE/opt/cassandra-RELEASE/lib/*.jar
#   agent     Prometheus's JMX agent: CACHE/jmx-agent-VERSION/jmx_prometheus_javaagent-VERSION.jar
# Layers for the machines of a test, and what test/daemons loads configurations with. Needs the network, so it runs before
# the sealed lab; what is there already is left alone. Prints each directory.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cache=${HA_MACHINES_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/cdktf-ha-clusters}
# the release, and its checksum, that lib/cassandra-ring/metrics.ts has
agent=1.0.1
agent_sha256=7d61f737fd661610ccc14aea79764faa1ea94a340cbc8f0029b3d2edea3d80c1

release_into() { # RELEASE DIRECTORY
  local lib=$2/opt/cassandra-$1/lib
  mvn --batch-mode --quiet --file "$here/pom.xml" -Dcassandra.version="$1" -DoutputDirectory="$lib" dependency:copy-dependencies >&2
  [[ -e $lib/cassandra-all-$1.jar ]] || { echo "$0: no cassandra-all-$1.jar came" >&2; exit 1; }
}

agent_into() { # DIRECTORY
  local jar=jmx_prometheus_javaagent
  mvn --batch-mode --quiet --file "$here/pom.xml" -Dcassandra.version=none -Dartifact="io.prometheus.jmx:$jar:$agent" -DoutputDirectory="$1" dependency:copy >&2
  sha256sum --check --quiet <<<"$agent_sha256  $1/$jar-$agent.jar" >&2 || { echo "$0: the agent that came is not the one that was checked" >&2; exit 1; }
}

(($#)) || set -- 5.0.5 5.0.6 agent
mkdir -p "$cache"
for what in "$@"; do
  target=$cache/cassandra-$what
  [[ $what != agent ]] || target=$cache/jmx-agent-$agent
  if [[ ! -d $target ]]; then
    [[ -z ${HA_LAB:-} ]] || { echo "$0: ${target##*/} is not here yet, and a sealed lab has no network: run test/machines/support/cassandra/fetch.sh first" >&2; exit 1; }
    command -v mvn >/dev/null || { echo "$0: maven is needed to fetch ${target##*/}" >&2; exit 1; }
    new=$(mktemp -d "$cache/cassandra-new-XXXXXX")
    chmod 755 "$new"
    trap 'rm -rf "$new"' EXIT
    if [[ $what = agent ]]; then agent_into "$new"; else release_into "$what" "$new"; fi
    mv -T "$new" "$target" 2>/dev/null || [[ -d $target ]] # somebody else was faster
    rm -rf "$new"
  fi
  echo "$target"
done
