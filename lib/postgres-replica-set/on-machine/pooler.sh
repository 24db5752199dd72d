#!/bin/bash
# What an operator and systemd call: see pooler.py.
exec python3 -B /usr/local/lib/cdktf-ha/postgres/pooler.py "$@"
