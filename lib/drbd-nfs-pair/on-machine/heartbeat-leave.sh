#!/bin/bash
# The pair has left the code. Heartbeat stops what runs here, in order; the other node may take over.
# shellcheck source-path=SCRIPTDIR source=functions.sh
. /usr/local/lib/cdktf-ha/drbd-nfs/functions.sh
systemctl disable --quiet --now heartbeat.service
# not there where nothing waits to take the volume again
systemctl stop cdktf-ha-nfs-resume.timer cdktf-ha-nfs-resume.service 2>/dev/null || true
rm --force /var/lib/cdktf-ha-nfs/released
pair_packages_shellfuncs
