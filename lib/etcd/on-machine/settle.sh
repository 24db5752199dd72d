#!/bin/bash
# Members that are in the cluster and not in the code, and that do not answer: machines that were lost for good. Each one
# counts in the quorum as if it were only away.
# shellcheck source-path=SCRIPTDIR source=functions.sh
. /usr/local/lib/cdktf-ha/etcd/functions.sh
while read -r id _ name peer _; do
  address=${peer#http://}
  address=${address%:*}
  address=${address//[\[\]]/}
  if ! grep -qF " $address" <<<"$ETCD_MEMBERS" && ! etcd_answers "$address"; then
    etcd_note "removes member $id ($name at $peer): it is in the code no longer, and it does not answer"
    etcd_ctl "$ETCD_ADDRESS" -- member remove "$id" >/dev/null
  fi
done < <(etcd_members "$ETCD_ADDRESS")
