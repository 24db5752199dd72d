#!/bin/bash
# The member has left the code: it gives its vote back before it stops. Refused where the others would be no quorum.
# shellcheck source-path=SCRIPTDIR source=functions.sh
. /usr/local/lib/cdktf-ha/etcd/functions.sh
# The whole cluster goes (terraform destroy): the data stays where it is.
if etcd_dissolves; then
  etcd_note "the whole cluster goes: stopped, the data stays"
  exit 0
fi
mapfile -t others < <(etcd_others)
if ((${#others[@]} == 0)); then
  etcd_has_data || exit 0
  # what it knows may be known nowhere else: an apply that puts others in everybody's place must not end it
  etcd_fail "no other member of etcd answers, and what this one knows would go with it. Bring the others back; or let the new members join first, and take this one out by a later apply; or, if the whole cluster goes: sudo cdktf-ha dissolve here, and apply again"
fi
id=$(etcd_members "${others[@]}" | awk -v address="$ETCD_ADDRESS" '$6 == address { print $1 }')
if [[ -n $id ]]; then
  words=$(etcd_ctl "${others[@]}" -- member remove "$id" 2>&1) || etcd_fail "the cluster does not let this member go: $words"
fi
if [[ ${ETCD_TLS:-none} == required ]]; then
  # its name is nobody's any more; where the others do not hear of it now, its certificate still needs an address that they let in
  etcd_ctl "${others[0]}" -- user delete "$ETCD_MEMBER" >/dev/null 2>&1 || true
  etcd_curl 10 --output /dev/null --request DELETE "$(etcd_url "${others[0]}" "$ETCD_CLIENT")/v2/auth/users/$ETCD_MEMBER" || true
fi
systemctl disable --quiet --now "$ETCD_UNIT"
if etcd_has_data; then mv "$ETCD_DATA" "/var/lib/etcd/left-$(date --utc +%Y%m%dT%H%M%SZ)"; fi
# a key that was made here goes with the member
if [[ -n ${ETCD_AUTHORITY:-} ]]; then rm --force "$ETCD_CERTIFICATE" "$ETCD_CERTIFICATE.made-of"; fi
rm --force "$ETCD_TLS_STATE"
etcd_note "has left the cluster"
