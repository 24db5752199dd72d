#!/bin/bash
# What Heartbeat itself says of its files. Where it takes itself for running it reads them all, and ends.
# shellcheck source-path=SCRIPTDIR source=functions.sh
. /usr/local/lib/cdktf-ha/drbd-nfs/functions.sh
# it would be started while somebody repairs
pair_fail_if_split
(($(wc --words </etc/ha.d/authkeys) == 5)) || pair_fail "the secret has a space in it: Heartbeat would use what is before"
# what it does not find it gives up when it is needed
while read -r resource; do
  [[ -x /etc/ha.d/resource.d/$resource || -x /etc/init.d/$resource ]] || pair_fail "there is no resource script '$resource'"
done < <(awk '!/^#/ { for (i = 2; i <= NF; i++) { sub("::.*", "", $i); print $i } }' /etc/ha.d/haresources)
# it stops by the list of now what it has started by the one of then
if pair_is_managed && ! cmp --quiet /etc/ha.d/haresources /proc/1/root/etc/ha.d/haresources; then
  pair_fail "what Heartbeat moves cannot change while it runs: stop heartbeat.service on both nodes, the standby first, and apply again"
fi
mount -t tmpfs tmpfs /run
echo $$ >/run/heartbeat.pid
words=$(/usr/libexec/heartbeat/heartbeat -f 2>&1) || pair_fail "$words"
[[ $words == *"already running [pid $$]"* ]] || pair_fail "heartbeat has not read its files: $words"
