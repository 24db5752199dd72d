#!/bin/bash
# The log gets to the repository, and a first backup is there or on its way.
python3 -B /usr/local/lib/cdktf-ha/postgres/backup.py verify
