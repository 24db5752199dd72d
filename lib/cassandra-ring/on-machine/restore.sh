#!/bin/bash
# restore TAG [KEYSPACE...]: puts rows of one of this node's own snapshots back into tables that are there. Run it on every
# node. Rows that were written or deleted since win by their timestamps: truncate a table first where it is to be exactly as
# it was. Where tables are gone too: the snapshot's schema.cql first.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=functions.sh
. /usr/local/lib/cdktf-ha/cassandra/functions.sh
# shellcheck source=/dev/null
. "$RING_ETC/snapshots"
tag=${1:?TAG of a snapshot}
shift
work=$(mktemp --directory "$RING_DATA/restore.XXXXXX")
trap 'rm --recursive --force "$work"' EXIT
case $SNAPSHOT_KIND in
  directory) cp --recursive "$SNAPSHOT_TARGET/$RING_NODE/$tag/." "$work/" ;;
  s3) aws s3 cp --recursive --only-show-errors "$SNAPSHOT_TARGET/$RING_NODE/$tag" "$work" ;;
esac
[[ -e $work/schema.cql ]] || ring_fail "there is no whole snapshot $tag at $SNAPSHOT_TARGET/$RING_NODE"
(($#)) || mapfile -t keyspaces < <(find "$work/data" -mindepth 1 -maxdepth 1 -type d -printf '%f\n' | grep -vE '^(system($|_)|cdktf_ha$)')
(($#)) && keyspaces=("$@")
for keyspace in "${keyspaces[@]}"; do
  for from in "$work/data/$keyspace"/*/; do
    table=$(basename "$from")
    compgen -G "$from*-Data.db" >/dev/null || continue
    # the directory of the table as it is now: one of its name that was dropped before has its own
    id=$(ring_cql cql "SELECT id FROM system_schema.tables WHERE keyspace_name = '$keyspace' AND table_name = '$table'")
    [[ -n $id ]] || ring_fail "there is no table $keyspace.$table: run its statement of $SNAPSHOT_TARGET/$RING_NODE/$tag/schema.cql first (python3 $RING_LIB/ring.py cql ...)"
    to=$RING_DATA/data/$keyspace/$table-${id//-/}
    # Under numbers of their own, since a file of the same name is another one: 31 bits, far above those that are in use.
    # Cassandra gives them its next ones as it takes them in.
    number=1000000000
    while IFS= read -r data; do
      while compgen -G "$to/*-$number-*" >/dev/null; do number=$((number + 1)); done
      base=$(basename "$data" Data.db)
      for part in "$from$base"*; do
        suffix=${part#"$from$base"}
        version=${base%%-*}
        format=${base#*-*-}
        install --owner=cassandra --group=cassandra --mode=0640 "$part" "$to/$version-$number-$format$suffix"
      done
    done < <(compgen -G "$from*-Data.db")
    ring_nodetool refresh "$keyspace" "$table"
    ring_note "restored $keyspace.$table of $tag"
  done
done
