#!/bin/bash
# For what Squid reads once, at its start: cache directories and workers. The address goes to another node first, if there is
# one; without, clients wait until Squid is back.
set -uo pipefail
# shellcheck source-path=SCRIPTDIR source=functions.sh
. /usr/local/lib/cdktf-ha/squid-functions
is_master() { grep --quiet --line-regexp MASTER /run/cdktf-ha-vrrp/* 2>/dev/null; }
trap squid_release EXIT
squid_hold
squid_let_end 2000
if is_master; then
  /usr/local/lib/cdktf-ha/vrrp-unit squid.service 1
  for ((i = 0; i < 60; i++)); do
    is_master || break
    sleep 0.05
  done
  squid_release
fi
systemctl stop squid.service
systemctl start squid.service
