#!/bin/bash
# What a new set begins from: does the repository have it?
python3 -B /usr/local/lib/cdktf-ha/postgres/backup.py check-recovery
