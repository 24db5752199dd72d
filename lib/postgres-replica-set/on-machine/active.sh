#!/bin/bash
# Does this member lead, and do the new files ask for a restart?
python3 -B /usr/local/lib/cdktf-ha/postgres/member.py active
