#!/bin/bash
# The pair has left the code. Heartbeat stops what runs here, in order; the other node may take over.
# shellcheck source-path=SCRIPTDIR source=functions.sh
. /usr/local/lib/cdktf-ha/drbd-nfs/functions.sh
systemctl disable --quiet --now heartbeat.service
pair_packages_shellfuncs
