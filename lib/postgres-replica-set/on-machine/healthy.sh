#!/bin/bash
# Leads, or follows closely, with the new files; and another member has every commit where commits wait.
python3 -B /usr/local/lib/cdktf-ha/postgres/member.py healthy
