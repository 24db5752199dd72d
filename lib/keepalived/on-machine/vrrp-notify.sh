#!/bin/bash
# keepalived calls this at every change of an instance's state: TYPE NAME STATE PRIORITY.
# Others read the state from here: the health check of a push, "who is active", the claim of a cloud's address.
#
# keepalived waits for no call to end. Where the state changes twice in a moment (FAULT and BACKUP, as a machine boots) two
# of them run at once, in any order: what the older one has to say is no longer so. keepalived would not say it again.
set -eu
name=$2
state=$3
directory=/run/cdktf-ha-vrrp
read -r process </proc/self/stat
read -ra process <<<"${process##*) }"
order=$((process[19] << 22 | $$)) # when this process began, in hundredths of a second, then its number
exec 9>>"$directory/.$name.last"
flock 9
last=$(<"$directory/.$name.last")
((order > ${last:-0})) || exit 0
printf '%s\n' "$order" >"$directory/.$name.last"
printf '%s\n' "$state" >"$directory/.$name"
mv "$directory/.$name" "$directory/$name"
exec 9>&-
claim=/usr/local/lib/cdktf-ha/vrrp-claim
if [[ $state == MASTER && -x $claim ]]; then exec "$claim" "$name"; fi
