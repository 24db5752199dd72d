#!/bin/bash
# before-promotion DATA: Patroni's pre_promote. Without room for the log PostgreSQL ends as soon as it leads, and Patroni starts
# and promotes it again for ever, with the lead in its hands and well replicas beside it. Told so, it gives the lead away, and
# does not ask for it again for a while.
set -euo pipefail
wanted=32 # MiB: two files of the log, the one that a new timeline begins with and the next
available=$(df --output=avail --block-size=1M "$1/pg_wal" | tail --lines=1)
((available < wanted)) || exit 0
echo "${available// /} MiB are free for the log, $wanted are needed to lead: another member may" >&2
exit 1
