#!/bin/bash
# What an operator and systemd call: see backup.py.
exec python3 -B /usr/local/lib/cdktf-ha/postgres/backup.py "$@"
