#!/bin/bash
# shellcheck source-path=SCRIPTDIR source=functions.sh
. /usr/local/lib/cdktf-ha/drbd-nfs/functions.sh
# DRBD, corosync and Pacemaker find a node by the name that its kernel has.
[[ $(uname --nodename) == "$PAIR_NODE" ]] ||
  pair_fail "this machine is called $(uname --nodename), and $PAIR_NODE in the code: hostnamectl set-hostname $PAIR_NODE, or rename it in the code"
modprobe drbd || pair_fail "this machine's kernel ($(uname --kernel-release)) has no module drbd"
# one that was just attached takes a moment
pair_wait 30 test -b "$PAIR_DISK" || pair_fail "there is no disk $PAIR_DISK here"
# one node would not understand the other, and would be switched off
if [[ -s /etc/corosync/authkey ]] && systemctl is-active --quiet corosync && ! cmp --quiet /etc/corosync/authkey <(pair_cluster_key); then
  pair_fail "the secret is another one: it cannot be changed while the pair runs"
fi
drbdadm dump "$PAIR_RESOURCE" >/dev/null
