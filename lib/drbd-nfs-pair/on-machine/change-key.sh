#!/bin/bash
# One step of the way to the code's secret, if the cluster has another one. A timer runs this on both nodes.
# shellcheck source-path=SCRIPTDIR source=functions.sh
. /usr/local/lib/cdktf-ha/drbd-nfs/functions.sh
pair_has_split || true # what has been healed meanwhile is forgotten
pair_change_key || echo "the cluster's key: this step has failed; the next minute tries again"
