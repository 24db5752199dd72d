#!/bin/bash
# Starts, reloads or restarts; the primary only after a switchover.
python3 -B /usr/local/lib/cdktf-ha/postgres/member.py activate "$HA_ACTION"
