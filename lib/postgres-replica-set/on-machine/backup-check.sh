#!/bin/bash
# The new files, by pgBackRest: does the repository answer?
python3 -B /usr/local/lib/cdktf-ha/postgres/backup.py check
