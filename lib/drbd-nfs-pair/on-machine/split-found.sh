#!/bin/bash
# What DRBD calls when it finds that the copies have gone apart. It is noted until they are one again: each attempt to connect hides it for a moment.
set -uo pipefail
mkdir --parents /var/lib/cdktf-ha-nfs && touch /var/lib/cdktf-ha-nfs/split
exec bash /usr/local/lib/cdktf-ha/drbd-nfs/notify.sh split "the copies have gone apart: nfs-pair-split shows this side"
