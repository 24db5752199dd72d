#!/bin/bash
# shellcheck source-path=SCRIPTDIR source=functions.sh
. /usr/local/lib/cdktf-ha/drbd-nfs/functions.sh
# DRBD, corosync and Pacemaker find a node by the name that its kernel has.
[[ $(uname --nodename) == "$PAIR_NODE" ]] ||
  pair_fail "this machine is called $(uname --nodename), and $PAIR_NODE in the code: hostnamectl set-hostname $PAIR_NODE, or rename it in the code"
pair_fail_if_split
modprobe drbd || pair_fail "this machine's kernel ($(uname --kernel-release)) has no module drbd"
# 9 tells its state in other words, which nothing here reads
if grep --quiet --no-messages '^version: 9' /proc/drbd; then
  pair_fail "this machine's kernel has DRBD 9, and the pair is for 8.4, the module that comes with Linux itself: take the package of the other one away (modinfo drbd)"
fi
for disk in "$PAIR_DISK" ${PAIR_META_DISK:+"$PAIR_META_DISK"}; do
  # one that was just attached takes a moment
  pair_wait 30 test -b "$disk" || pair_fail "there is no disk $disk here"
done
pair_fail_if_secret_refused
# shellcheck source-path=SCRIPTDIR source=sizes.sh
. /usr/local/lib/cdktf-ha/drbd-nfs/sizes.sh
pair_fail_if_shrunk
drbdadm dump "$PAIR_RESOURCE" >/dev/null
