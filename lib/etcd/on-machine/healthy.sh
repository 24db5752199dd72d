#!/bin/bash
# A member with a vote, of a cluster with a quorum.
# shellcheck source-path=SCRIPTDIR source=functions.sh
. /usr/local/lib/cdktf-ha/etcd/functions.sh
etcd_is_running || etcd_fail "etcd.service is not active"
etcd_answers "$ETCD_ADDRESS" || etcd_fail "etcd does not answer, or has no quorum"
read -r learner < <(etcd_members "$ETCD_ADDRESS" | awk -v name="$ETCD_MEMBER" '$3 == name { print $5 }')
[[ $learner == false ]] || etcd_fail "this member has no vote yet"
