#!/bin/bash
# The pooler has left the code: passwords that were put together here go with it.
python3 -B /usr/local/lib/cdktf-ha/postgres/pooler.py leave
