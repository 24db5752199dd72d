#!/bin/bash
# How much each export may take. XFS counts what has a project's number, which what is new takes over from its directory. A push runs this, and a timer: limits
# are on the volume, so that a failover finds them there; and a walk through all files must hold up no server that starts.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=functions.sh
. /usr/local/lib/cdktf-ha/drbd-nfs/functions.sh
list=/etc/cdktf-ha/drbd-nfs-exports
pair_serves || exit 0
# not yet mounted for it, or not any more
[[ ,$(findmnt --noheadings --output OPTIONS "$PAIR_DIRECTORY"), == *,prjquota,* ]] || exit 0

# Which directory has its number: of this inode, all of what was in it.
counted() { printf '%s/quota-%s' "$PAIR_STATE" "$1"; } # PROJECT

# What is there already is given the number; a file that goes meanwhile is none that is missed.
count() { # PROJECT PATH
  local inode words
  inode=$(stat --format %i "$2")
  [[ $(cat "$(counted "$1")" 2>/dev/null) != "$inode" ]] || return 0
  words=$(xfs_quota -x -c "project -s -p $2 $1" "$PAIR_DIRECTORY" 2>&1 >/dev/null) || true
  words=$(grep -v 'No such file or directory' <<<"$words") || true
  if [[ -n $words ]]; then
    pair_note "the quota of $2: ${words:0:500}"
    return 1
  fi
  printf '%s\n' "$inode" >"$(counted "$1")"
}

while read -r mib project path; do
  # none, and there has been none
  [[ $mib != 0 || -e $(counted "$project") ]] || continue
  # what goes wrong is told, and tried again: other things wait for this one's end
  if ((mib > 0)); then count "$project" "$path" || true; fi
  xfs_quota -x -c "limit -p bhard=${mib}m $project" "$PAIR_DIRECTORY" || true
done <"$list"
# of exports that are gone
for note in "$PAIR_STATE"/quota-*; do
  project=${note##*-}
  if [[ ! -e $note ]] || grep " $project " "$list" >/dev/null; then continue; fi
  xfs_quota -x -c "limit -p bhard=0 $project" "$PAIR_DIRECTORY" && rm "$note"
done
