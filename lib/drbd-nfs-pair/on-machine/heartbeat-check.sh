#!/bin/bash
# What Heartbeat itself says of its files. Where it takes itself for running it reads them all, and ends.
fail() {
  printf '%s\n' "$*" >&2
  exit 1
}
(($(wc --words </etc/ha.d/authkeys) == 5)) || fail "the secret has a space in it: Heartbeat would use what is before"
# what it does not find it gives up when it is needed
while read -r resource; do
  [[ -x /etc/ha.d/resource.d/$resource || -x /etc/init.d/$resource ]] || fail "there is no resource script '$resource'"
done < <(awk '!/^#/ { for (i = 2; i <= NF; i++) { sub("::.*", "", $i); print $i } }' /etc/ha.d/haresources)
# it stops by the list of now what it has started by the one of then
if systemctl is-active --quiet heartbeat.service 2>/dev/null && ! cmp --quiet /etc/ha.d/haresources /proc/1/root/etc/ha.d/haresources; then
  fail "what Heartbeat moves cannot change while it runs: stop heartbeat.service on both nodes, the standby first, and apply again"
fi
mount -t tmpfs tmpfs /run
echo $$ >/run/heartbeat.pid
words=$(/usr/libexec/heartbeat/heartbeat -f 2>&1) || fail "$words"
[[ $words == *"already running [pid $$]"* ]] || fail "heartbeat has not read its files: $words"
