#!/usr/bin/env bash
# fetch.sh: from PyPI into the cache of machines/
#   CACHE/patroni-3.0.2/, CACHE/patroni-4.1.5/   patroni/__main__.py with what it needs: test/daemons has both read configurations
#   CACHE/pgserver-0.1.4/                        pgserver/pginstall: a whole PostgreSQL 16.2
# apt-repository.sh makes packages of the newer ones. Needs the network, so it runs before the sealed lab; what is there already is left alone.
# Prints each directory.
set -euo pipefail
cache=${HA_MACHINES_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/cdktf-ha-clusters}
(($#)) || set -- patroni-3.0.2 patroni-4.1.5 pgserver-0.1.4
mkdir -p "$cache"
for what in "$@"; do
  target=$cache/$what
  if [[ ! -d $target ]]; then
    [[ -z ${HA_LAB:-} ]] || { echo "$0: $what is not here yet, and a sealed lab has no network: run test/machines/support/postgres/fetch.sh first" >&2; exit 1; }
    new=$(mktemp -d "$cache/$what-new-XXXXXX")
    chmod 755 "$new"
    trap 'rm -rf "$new"' EXIT
    case $what in
      patroni-*) wanted=("patroni[etcd]==${what#*-}" psycopg2-binary) ;;
      *) wanted=(--no-deps "${what/-/==}") ;;
    esac
    python3 -m pip install --quiet --disable-pip-version-check --root-user-action=ignore --no-compile --target "$new" "${wanted[@]}" >&2
    mv -T "$new" "$target" 2>/dev/null || [[ -d $target ]] # somebody else was faster
    rm -rf "$new"
  fi
  echo "$target"
done
