#!/bin/bash
# keepalived calls this at every change of an instance's state: TYPE NAME STATE PRIORITY.
# Others read the state from here: the health check of a push, "who is active", the claim of a cloud's address.
set -eu
name=$2
state=$3
directory=/run/cdktf-ha-vrrp
printf '%s\n' "$state" >"$directory/.$name"
mv "$directory/.$name" "$directory/$name"
claim=/usr/local/lib/cdktf-ha/vrrp-claim
if [[ $state == MASTER && -x $claim ]]; then exec "$claim" "$name"; fi
