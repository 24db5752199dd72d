#!/bin/bash
# The member has a certificate that others will trust, and its key.
python3 -B /usr/local/lib/cdktf-ha/postgres/member.py check-certificate
