#!/bin/bash
# One step of the way to another secret, if the pair is on it. A timer runs this on both nodes.
# shellcheck source-path=SCRIPTDIR source=functions.sh
. /usr/local/lib/cdktf-ha/drbd-nfs/functions.sh
pair_change_key || echo "not yet: the next minute tries again"
