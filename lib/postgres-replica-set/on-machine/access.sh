#!/bin/bash
# A running Patroni takes up who may come in and where etcd is.
python3 -B /usr/local/lib/cdktf-ha/postgres/member.py access
