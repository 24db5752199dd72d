#!/bin/bash
# notify.sh KIND TEXT: into the journal, and to whoever is to be told. DRBD's kernel module and Pacemaker wait for it, so
# that nothing here waits: a message is a file, and nfs-alert-send.sh takes it from there.
set -uo pipefail
kind=$1 text=$2
logger --tag cdktf-ha-nfs --priority daemon.warning -- "$kind: $text" || true
spool=/run/cdktf-ha-nfs-alerts
[[ -d $spool ]] || exit 0
umask 077
message=$(mktemp "$spool/XXXXXXXX.new") && printf '%s\n%s\n' "$kind" "$text" >"$message" && mv "$message" "${message%.new}.alert"
exit 0
