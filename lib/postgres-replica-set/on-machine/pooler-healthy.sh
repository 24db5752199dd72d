#!/bin/bash
# PgBouncer runs the new files, and leads to the member that leads.
python3 -B /usr/local/lib/cdktf-ha/postgres/pooler.py healthy
