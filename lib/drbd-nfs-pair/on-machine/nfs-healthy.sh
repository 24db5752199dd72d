#!/bin/bash
# Where the server runs it offers everything that the code says; elsewhere it does not run.
# shellcheck source-path=SCRIPTDIR source=functions.sh
. /usr/local/lib/cdktf-ha/drbd-nfs/functions.sh
! systemctl is-enabled --quiet nfs-server.service || pair_fail "nfs-server.service would start at boot, with nothing to export"
pair_serves && systemctl is-active --quiet nfs-server.service || exit 0
offered=$(exportfs -s)
while read -r _ _ path; do
  [[ -z $path || $offered == *"$path "* ]] || pair_fail "$path is not exported"
done </etc/cdktf-ha/drbd-nfs-exports
