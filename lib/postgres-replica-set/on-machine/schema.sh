#!/bin/bash
# Databases, roles and grants: the member that leads does it.
python3 -B /usr/local/lib/cdktf-ha/postgres/schema.py
