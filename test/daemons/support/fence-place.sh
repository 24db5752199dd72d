#!/bin/bash
# fence-place.sh DIRECTORY: what fence agents and what they talk to live in (fence-place.ts), until it is killed. Network, processes and the files that are
# written to are its own.
set -euo pipefail
for directory in /run /var/lib/libvirt /var/cache/libvirt /var/log; do
  mkdir -p "$directory"
  mount -t tmpfs tmpfs "$directory"
done
for directory in /etc /usr/local/lib; do
  own=/run/own$directory
  mkdir -p "$own/new" "$own/work" "$directory"
  mount -t overlay overlay -o "lowerdir=$directory,upperdir=$own/new,workdir=$own/work" "$directory"
done
mkdir -p /run/sshd
ip link set lo up
touch "$1/ready"
# the first of its processes gathers those whose parents are gone, which exec would not
sleep infinity &
wait
