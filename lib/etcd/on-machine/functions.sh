#!/bin/bash
# shellcheck disable=SC2034,SC2153 # the facts come from a file; the hooks use what stands here
# What the hooks of an etcd member share. Who is in the code is in ETCD_MEMBERS, a name and an address a line; who is in
# the cluster only etcd itself knows.
# shellcheck source=/dev/null
. /etc/etcd/cdktf-ha
ETCD_UNIT=etcd.service
ETCD_FIRST_START=/var/lib/etcd/first-start
ETCD_CLUSTER_ID=/var/lib/etcd/cluster-id
ETCD_CLIENT=2379 ETCD_PEER=2380
# What was last in use here: nothing of it is known where there is none of it.
ETCD_TLS_STATE=/var/lib/etcd/tls
ETCD_CERTIFICATE=/etc/etcd/tls/member.pem ETCD_TRUSTED=/etc/etcd/tls/trusted.pem
# By what members are asked whether they are there: with "optional" all of them take a plain question still.
ETCD_SCHEME=http
if [[ ${ETCD_TLS:-none} == required ]]; then
  ETCD_PEER=2381
  ETCD_SCHEME=https
fi
export ETCDCTL_API=3

etcd_fail() {
  printf '%s\n' "$*" >&2
  exit 1
}

# In the journal too: who joined and left is looked up there a year later.
etcd_note() {
  printf '%s\n' "$*"
  [[ -n ${HA_NOTED:-} ]] || logger --tag cdktf-ha-etcd -- "$*" || true
}

etcd_url() { # ADDRESS PORT [SCHEME]
  local scheme=${3:-$ETCD_SCHEME}
  if [[ $1 == *:* ]]; then printf '%s://[%s]:%s' "$scheme" "$1" "$2"; else printf '%s://%s:%s' "$scheme" "$1" "$2"; fi
}

# etcd_ctl ADDRESS... -- ARGUMENT...
etcd_ctl() {
  local endpoints=() encrypted=() tls=()
  while [[ $1 != -- ]]; do
    endpoints+=("$(etcd_url "$1" "$ETCD_CLIENT")")
    # who takes both may take a plain question of etcdctl for an encrypted one: etcd-io/etcd#15495
    if [[ ${ETCD_TLS:-none} == optional ]] && etcd_answers "$1" https; then encrypted+=("$(etcd_url "$1" "$ETCD_CLIENT" https)"); fi
    shift
  done
  shift
  if ((${#encrypted[@]})); then endpoints=("${encrypted[@]}"); fi
  if [[ ${endpoints[0]} == https:* ]]; then tls=(--cacert="$ETCD_TRUSTED" --cert="$ETCD_CERTIFICATE" --key="$ETCD_CERTIFICATE"); fi
  timeout 20 etcdctl --endpoints="$(IFS=, && printf '%s' "${endpoints[*]}")" --dial-timeout=3s --command-timeout=10s "${tls[@]}" "$@"
}

# etcd_curl SECONDS ARGUMENT...: as a member asks; a plain question takes no notice of the certificates
etcd_curl() {
  local seconds=$1 tls=()
  shift
  if [[ ${ETCD_TLS:-none} != none ]]; then tls=(--cacert "$ETCD_TRUSTED" --cert "$ETCD_CERTIFICATE"); fi
  curl --silent --max-time "$seconds" "${tls[@]}" "$@"
}

# Does a member of a cluster answer there? One without a quorum says so.
etcd_answers() { # ADDRESS [SCHEME]
  etcd_curl 3 --fail --output /dev/null "$(etcd_url "$1" "$ETCD_CLIENT" "${2:-}")/health"
}

# etcd_probe ADDRESS PORT: open, where somebody listens; refused, where the machine itself says that nobody does; silent, where
# nothing is known: a machine that is off, a network that is cut, a firewall.
etcd_probe() {
  local words status=0
  # shellcheck disable=SC2016 # expanded inside
  words=$(LC_ALL=C timeout 5 bash -c 'exec 3<>"/dev/tcp/$1/$2"' _ "$1" "$2" 2>&1) || status=$?
  if ((status == 0)); then
    printf open
  elif [[ $words == *"Connection refused"* ]]; then
    printf refused
  else
    printf silent
  fi
}

# After all were stopped (a destroy, and a deploy on the same machines) members come back one after the other: who has data, and
# whose others say themselves that nothing runs there yet, waits for them without a quorum. It listens to them meanwhile: what
# ends by itself again and again waits for nobody.
etcd_waits_for_others() {
  local name address up=1 all=0
  etcd_has_data && [[ ! -e $ETCD_FIRST_START && $(etcd_probe "$ETCD_ADDRESS" "$ETCD_PEER") == open ]] || return 1
  while read -r name address; do
    all=$((all + 1))
    [[ $name != "$ETCD_MEMBER" ]] || continue
    case $(etcd_probe "$address" "$ETCD_PEER") in
      open) up=$((up + 1)) ;;
      silent) return 1 ;;
    esac
  done <<<"$ETCD_MEMBERS"
  ((up * 2 <= all))
}

# Said once for the whole cluster (terraform destroy), and true for a quarter of an hour.
etcd_dissolves() { [[ -n $(find "${ETCD_DISSOLVES:-/run/cdktf-ha-dissolve}" -mmin -15 2>/dev/null) ]]; }

etcd_is_running() { systemctl is-active --quiet "$ETCD_UNIT"; }
# As etcd itself finds out whether it has started before.
etcd_has_data() { compgen -G "$ETCD_DATA/member/wal/*.wal" >/dev/null; }

# Addresses of the other members in the code that answer, a line each.
etcd_others() {
  local name address
  while read -r name address; do
    if [[ $name != "$ETCD_MEMBER" ]] && etcd_answers "$address"; then printf '%s\n' "$address"; fi
  done <<<"$ETCD_MEMBERS"
}

# etcd_members ADDRESS...: ID STATUS NAME PEER-URL IS-LEARNER ADDRESS of each member, a line each, a dash for what is empty
etcd_members() {
  etcd_ctl "$@" -- member list --write-out=simple | awk -F ', ' '{
    address = $4
    sub(/^https?:\/\//, "", address)
    sub(/:[0-9]+$/, "", address)
    gsub(/[][]/, "", address)
    print $1, $2, ($3 == "" ? "-" : $3), $4, $6, address
  }'
}

etcd_cluster_id() { # ADDRESS...
  etcd_ctl "$@" -- member list --write-out=json | sed -nE 's/.*"cluster_id":([0-9]+).*/\1/p'
}
