#!/bin/bash
# corosync-node.sh DIRECTORY: what a node of corosync-pair.ts lives in, until it is killed. Its own network, and its own files where corosync's and the
# pair's are: DIRECTORY/etc and DIRECTORY/lib in the place of the computer's.
set -euo pipefail
for directory in /dev/shm /run /var/lib/corosync /var/log /usr/local/lib; do mount -t tmpfs tmpfs "$directory"; done
mkdir -p /run/etc/new /run/etc/work /usr/local/lib/cdktf-ha/drbd-nfs
mount -t overlay overlay -o lowerdir=/etc,upperdir=/run/etc/new,workdir=/run/etc/work /etc
mkdir -p /etc/corosync /etc/cdktf-ha
mount --bind "$1/corosync" /etc/corosync
mount --bind "$1/cdktf-ha" /etc/cdktf-ha
mount --bind "$1/../lib" /usr/local/lib/cdktf-ha/drbd-nfs
ip link set lo up
touch "$1/ready"
exec sleep infinity
