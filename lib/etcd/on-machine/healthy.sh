#!/bin/bash
# A member with a vote, of a cluster with a quorum.
# shellcheck source-path=SCRIPTDIR source=functions.sh
. /usr/local/lib/cdktf-ha/etcd/functions.sh
etcd_is_running || etcd_fail "etcd.service is not active"
if ! etcd_answers "$ETCD_ADDRESS" && etcd_waits_for_others; then
  etcd_note "runs with the data it has, and waits for a quorum: the others are not started yet"
  exit 0
fi
etcd_answers "$ETCD_ADDRESS" || etcd_fail "etcd does not answer, or has no quorum"
if [[ ${ETCD_TLS:-none} == optional ]]; then etcd_answers "$ETCD_ADDRESS" https || etcd_fail "etcd does not answer by TLS"; fi
read -r learner < <(etcd_members "$ETCD_ADDRESS" | awk -v name="$ETCD_MEMBER" '$3 == name { print $5 }')
[[ $learner == false ]] || etcd_fail "this member has no vote yet"
