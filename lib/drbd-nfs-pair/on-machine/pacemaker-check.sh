#!/bin/bash
# With a key of no use: the real one is made when the files are in place.
key=$(mktemp)
trap 'rm --force "$key" "$key.conf"' EXIT
head --bytes=256 /dev/zero >"$key"
sed "s#^totem {#&\n  keyfile: $key#" /etc/corosync/corosync.conf >"$key.conf"
corosync -t -c "$key.conf"

# shellcheck source-path=SCRIPTDIR source=functions.sh
. /usr/local/lib/cdktf-ha/drbd-nfs/functions.sh
pair_fail_if_split
# Its package enables it, and until a version of ours runs that has a watchdog the cluster would wait at the next boot for what never starts.
if [[ ! -e ${HA_DIR%/*}/current/root/etc/default/sbd ]] && systemctl is-enabled --quiet sbd.service 2>/dev/null; then
  systemctl disable --quiet sbd.service
fi
if pair_has_watchdog; then
  if [[ -e /etc/modules-load.d/cdktf-ha-watchdog.conf ]]; then modprobe softdog || pair_fail "this machine's kernel ($(uname --kernel-release)) has no module softdog"; fi
  watchdog=$(sed -n 's/^SBD_WATCHDOG_DEV=//p' /etc/default/sbd)
  [[ -c $watchdog ]] || pair_fail "this machine has no watchdog $watchdog: Fencing.watchdog({ software: true }) uses the kernel's own timer"
fi
