#!/bin/bash
# The exporter answers, and the server lets it in.
python3 -B /usr/local/lib/cdktf-ha/postgres/metrics.py
