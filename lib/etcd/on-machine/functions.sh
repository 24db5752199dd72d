#!/bin/bash
# shellcheck disable=SC2034,SC2153 # the facts come from a file; the hooks use what stands here
# What the hooks of an etcd member share. Who is in the code is in ETCD_MEMBERS, a name and an address a line; who is in
# the cluster only etcd itself knows.
# shellcheck source=/dev/null
. /etc/etcd/cdktf-ha
ETCD_UNIT=etcd.service
ETCD_FIRST_START=/var/lib/etcd/first-start
ETCD_CLIENT=2379 ETCD_PEER=2380
export ETCDCTL_API=3

etcd_fail() {
  printf '%s\n' "$*" >&2
  exit 1
}

# In the journal too: who joined and left is looked up there a year later.
etcd_note() {
  printf '%s\n' "$*"
  logger --tag cdktf-ha-etcd -- "$*" || true
}

etcd_url() { # ADDRESS PORT
  if [[ $1 == *:* ]]; then printf 'http://[%s]:%s' "$1" "$2"; else printf 'http://%s:%s' "$1" "$2"; fi
}

# etcd_ctl ADDRESS... -- ARGUMENT...
etcd_ctl() {
  local endpoints=()
  while [[ $1 != -- ]]; do
    endpoints+=("$(etcd_url "$1" "$ETCD_CLIENT")")
    shift
  done
  shift
  timeout 20 etcdctl --endpoints="$(IFS=, && printf '%s' "${endpoints[*]}")" --dial-timeout=3s --command-timeout=10s "$@"
}

# Does a member of a cluster answer there? One without a quorum says so.
etcd_answers() { # ADDRESS
  curl --silent --fail --max-time 3 --output /dev/null "$(etcd_url "$1" "$ETCD_CLIENT")/health"
}

etcd_is_running() { systemctl is-active --quiet "$ETCD_UNIT"; }
etcd_has_data() { [[ -d $ETCD_DATA/member ]]; }

# Addresses of the other members in the code that answer, a line each.
etcd_others() {
  local name address
  while read -r name address; do
    if [[ $name != "$ETCD_MEMBER" ]] && etcd_answers "$address"; then printf '%s\n' "$address"; fi
  done <<<"$ETCD_MEMBERS"
}

# etcd_members ADDRESS...: ID STATUS NAME PEER-URL IS-LEARNER of each member, a line each, a dash for what is empty
etcd_members() {
  etcd_ctl "$@" -- member list --write-out=simple | awk -F ', ' '{ print $1, $2, ($3 == "" ? "-" : $3), $4, $6 }'
}
