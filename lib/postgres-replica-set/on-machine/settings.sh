#!/bin/bash
# What etcd holds for all members.
python3 -B /usr/local/lib/cdktf-ha/postgres/settings.py apply
