#!/bin/bash
# keepalived asks this every two seconds: a squid that hangs is there, but does not answer.
# shellcheck source-path=SCRIPTDIR source=functions.sh
. /usr/local/lib/cdktf-ha/squid-functions
[[ -n $(squid_state "$(squid_port)") ]]
