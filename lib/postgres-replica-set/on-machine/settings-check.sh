#!/bin/bash
# The shared parameters, by PostgreSQL's own parser.
python3 -B /usr/local/lib/cdktf-ha/postgres/settings.py check
