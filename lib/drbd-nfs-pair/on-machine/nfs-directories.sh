#!/bin/bash
# A directory for each export, on the volume alone: before the server offers them.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=functions.sh
. /usr/local/lib/cdktf-ha/drbd-nfs/functions.sh
pair_serves || pair_fail "$PAIR_DIRECTORY is not mounted here"
mkdir --parents "$PAIR_STATE"
while read -r _ _ path; do
  mkdir --parents "$path"
done </etc/cdktf-ha/drbd-nfs-exports
