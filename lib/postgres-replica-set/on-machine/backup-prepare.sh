#!/bin/bash
# The set has its place in the repository: the member that leads makes it.
python3 -B /usr/local/lib/cdktf-ha/postgres/backup.py prepare
