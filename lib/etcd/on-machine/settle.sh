#!/bin/bash
# Members that are in the cluster and not in the code, and that do not answer: machines that were lost for good. Each one
# counts in the quorum as if it were only away.
# shellcheck source-path=SCRIPTDIR source=functions.sh
. /usr/local/lib/cdktf-ha/etcd/functions.sh
etcd_answers "$ETCD_ADDRESS" || exit 0 # waits for the others: the last one does it
while read -r id _ name peer _ address; do
  if ! awk -v address="$address" '$2 == address { found = 1 } END { exit !found }' <<<"$ETCD_MEMBERS" && ! etcd_answers "$address"; then
    etcd_note "removes member $id ($name at $peer): it is in the code no longer, and it does not answer"
    etcd_ctl "$ETCD_ADDRESS" -- member remove "$id" >/dev/null
  fi
done < <(etcd_members "$ETCD_ADDRESS")
if [[ ${ETCD_TLS:-none} != none ]]; then
  # shellcheck source=tls.sh
  . /usr/local/lib/cdktf-ha/etcd/tls.sh
  if [[ $ETCD_TLS == optional ]]; then etcd_move_peers; else etcd_guard; fi
fi
