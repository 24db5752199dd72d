#!/bin/bash
# The new files, by Patroni's and PostgreSQL's own parsers; and whether this machine can be this member.
python3 -B /usr/local/lib/cdktf-ha/postgres/member.py check
