#!/bin/bash
# Data of another major version is not forgotten for an empty directory; and the member has a certificate that others will trust, and its key.
python3 -B /usr/local/lib/cdktf-ha/postgres/member.py check-access
