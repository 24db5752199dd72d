#!/bin/bash
# archive push SET PATH | archive get SET FILE PATH: what PostgreSQL calls for a segment of its log, as postgres. Bounded: a store that does
# not answer holds up neither a failover, which asks it several times, nor a stop. A failure is always 1: from 126 on a server ends.
set -u
etc=/etc/patroni/cdktf-ha
away=/var/run/postgresql/cdktf-ha-store-away
what=$1 stanza=$2
shift 2
# switched off in the code, and the server does not know it yet: nothing is to wait on its disk for ever. Facts that cannot be read switch off nothing
if [[ $what == push ]] && grep --quiet '"archives": false' "$etc/facts.json"; then exit 0; fi
# asked again once in a minute
if [[ -n $(find "$away" -newermt '-60 seconds' 2>/dev/null) ]]; then exit 1; fi
case $what in
  push) seconds=20 ;;
  get) seconds=10 ;;
  *) exit 1 ;;
esac
# what pgBackRest does in the background goes on when its front is stopped
timeout "$seconds" pgbackrest --stanza="$stanza" "archive-$what" "$@"
case $? in
  0)
    rm --force "$away"
    exit 0
    ;;
  124) touch "$away" ;;
esac
exit 1
