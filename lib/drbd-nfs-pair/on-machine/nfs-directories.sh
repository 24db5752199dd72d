#!/bin/bash
# A directory for each export, on the volume alone: before the server offers them.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=functions.sh
. /usr/local/lib/cdktf-ha/drbd-nfs/functions.sh
pair_serves || pair_fail "$PAIR_DIRECTORY is not mounted here"
mkdir --parents "$PAIR_STATE"

# XFS counts what has a project's number, which what is new takes over from its directory.
limit() { # MiB PROJECT PATH
  local done=$PAIR_STATE/quota-$2
  # none, and there has been none
  [[ $1 != 0 || -e $done ]] || return 0
  # not mounted for it yet: it is, at the next start
  [[ ,$(findmnt --noheadings --output OPTIONS "$PAIR_DIRECTORY"), == *,prjquota,* ]] || return 0
  if [[ ! -e $done ]]; then
    # what is there already is given it once, all of it
    xfs_quota -x -c "project -s -p $3 $2" "$PAIR_DIRECTORY" >/dev/null
    touch "$done"
  fi
  xfs_quota -x -c "limit -p bhard=${1}m $2" "$PAIR_DIRECTORY"
}

while read -r mib project path; do
  mkdir --parents "$path"
  limit "$mib" "$project" "$path"
done </etc/cdktf-ha/drbd-nfs-exports
