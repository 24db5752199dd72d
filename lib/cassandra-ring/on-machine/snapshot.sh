#!/bin/bash
# A snapshot of this node's rows of every keyspace that nodes share, with the schema: hard links first, so that it is of one moment,
# then a copy.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=functions.sh
. /usr/local/lib/cdktf-ha/cassandra/functions.sh
# shellcheck source=/dev/null
. "$RING_ETC/snapshots"
# the role's credentials are asked for at each call: by default once, for a second
export AWS_METADATA_SERVICE_NUM_ATTEMPTS=5 AWS_METADATA_SERVICE_TIMEOUT=5
tag=$(date --utc +%Y%m%dT%H%M%SZ)
ring_nodetool snapshot -t "$tag" >/dev/null
# whatever happens: links that stay keep deleted files alive
trap 'ring_nodetool clearsnapshot -t "$tag" >/dev/null || ring_nodetool clearsnapshot "$tag" >/dev/null || true' EXIT
work=$(mktemp --directory "$RING_DATA/snapshot.XXXXXX")
trap 'rm --recursive --force "$work"; ring_nodetool clearsnapshot -t "$tag" >/dev/null 2>&1 || true' EXIT
python3 -B "$RING_LIB/ring.py" describe >"$work/schema.cql"
# KEYSPACE/TABLE-ID/snapshots/TAG/... becomes KEYSPACE/TABLE/...
while IFS= read -r directory; do
  relative=${directory#"$RING_DATA/data/"}
  keyspace=${relative%%/*}
  # what is the node's own, such as its tokens, never comes back, and is most of the files
  if [[ $keyspace == system || $keyspace == system_schema ]]; then continue; fi
  table=${relative#*/}
  table=${table%%/*}
  target=$work/data/$keyspace/${table%-*}
  mkdir --parents "$target"
  cp --archive --link "$directory/." "$target/"
done < <(find "$RING_DATA/data" -mindepth 4 -maxdepth 4 -type d -path "*/snapshots/$tag")
case $SNAPSHOT_KIND in
  directory)
    to=$SNAPSHOT_TARGET/$RING_NODE
    mkdir --parents "$to"
    chmod 700 "$to"
    cp --recursive --preserve=timestamps "$work" "$to/$tag.new"
    sync "$to/$tag.new"
    mv "$to/$tag.new" "$to/$tag"
    find "$to" -mindepth 1 -maxdepth 1 -type d -name '2*Z' | sort | head --lines=-"$SNAPSHOT_KEEP" | xargs --no-run-if-empty rm --recursive
    ;;
  s3)
    to=$SNAPSHOT_TARGET/$RING_NODE
    # the schema last: a snapshot that has it is whole
    if ! aws s3 cp --recursive --only-show-errors --exclude schema.cql "$work" "$to/$tag" ||
      ! aws s3 cp --only-show-errors "$work/schema.cql" "$to/$tag/schema.cql"; then
      aws s3 rm --recursive --only-show-errors "$to/$tag" || true
      ring_fail "snapshot $tag did not get to $to"
    fi
    found=$(aws s3 ls "$to/") || ring_fail "snapshot $tag is at $to, and what else is there is not known: nothing older is removed"
    whole=0
    while IFS= read -r old; do
      # 1 is that there is none; whatever else fails says nothing about it
      status=0
      aws s3 ls "$to/${old}schema.cql" >/dev/null || status=$?
      ((status <= 1)) || ring_fail "snapshot $tag is at $to, and it is not known whether $old is whole: nothing more is removed"
      if ((status == 0 && ++whole <= SNAPSHOT_KEEP)); then continue; fi
      aws s3 rm --recursive --only-show-errors "$to/$old"
    done < <(awk '$1 == "PRE" && $2 ~ /^2.*Z\/$/ { print $2 }' <<<"$found" | sort --reverse)
    ;;
esac
ring_note "snapshot $tag is at $SNAPSHOT_TARGET/$RING_NODE/$tag"
