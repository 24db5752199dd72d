#!/usr/bin/env bash
# sealed-init.sh CMD ARGS...: the first process of a sealed lab (see sealed.sh).
set -euo pipefail
umask 022
# All files of a lab are in this tmpfs. It covers the computer's own /run, so that nothing in the lab meets
# the computer's systemd, D-Bus or docker, and needs no directory that could be left behind.
mount -t tmpfs -o mode=755 lab /run
mkdir -m 1777 /run/ha-lab /run/ha-lab/tmp
chmod 755 /run/ha-lab
mkdir /run/mount # of libmount's, which makes it at the first mount otherwise
export TMPDIR=/run/ha-lab/tmp
ip link set lo up
# Not `exec`: as the namespace's init, CMD would have to reap the orphans of all others.
status=0
"$@" 9>&- || status=$?
exit "$status"
