#!/bin/bash
# What an operator and systemd call: see member.py.
exec python3 -B /usr/local/lib/cdktf-ha/postgres/member.py "$@"
