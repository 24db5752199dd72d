#!/bin/bash
# The member has left the code: it gives its vote back before it stops. Refused where the others would be no quorum.
# shellcheck source-path=SCRIPTDIR source=functions.sh
. /usr/local/lib/cdktf-ha/etcd/functions.sh
# The whole cluster goes (terraform destroy): the data stays where it is.
if [[ -n $(find /run/cdktf-ha-dissolve -mmin -60 2>/dev/null) ]]; then
  etcd_note "the whole cluster goes: stopped, the data stays"
  exit 0
fi
mapfile -t others < <(etcd_others)
if ((${#others[@]} == 0)); then
  if etcd_is_running && (($(etcd_members "$ETCD_ADDRESS" | wc -l) > 1)); then
    etcd_fail "no other member answers: a cluster without a quorum cannot take a vote back"
  fi
  etcd_note "the last member of its cluster: stopped, the data stays"
  exit 0
fi
id=$(etcd_members "${others[@]}" | awk -v peer="$(etcd_url "$ETCD_ADDRESS" "$ETCD_PEER")" '$4 == peer { print $1 }')
if [[ -n $id ]]; then
  words=$(etcd_ctl "${others[@]}" -- member remove "$id" 2>&1) || etcd_fail "the cluster does not let this member go: $words"
fi
systemctl disable --quiet --now "$ETCD_UNIT"
if etcd_has_data; then mv "$ETCD_DATA" "/var/lib/etcd/left-$(date --utc +%Y%m%dT%H%M%SZ)"; fi
etcd_note "has left the cluster"
