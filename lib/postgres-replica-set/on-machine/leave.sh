#!/bin/bash
# The member has left the code: it hands the lead over and stops.
python3 -B /usr/local/lib/cdktf-ha/postgres/member.py leave
