# shellcheck shell=bash
# TLS and who may do what: sourced after functions.sh where there is TLS.
# shellcheck source=/dev/null
. /etc/etcd/cdktf-ha-users

# Where an authority was given: a key of this machine's own, and a certificate that names it.
etcd_issue() {
  local alternative words
  [[ -n $ETCD_AUTHORITY ]] || return 0
  alternative=IP:$ETCD_ADDRESS
  words=$(bash /usr/local/lib/cdktf-ha/etcd/issue.sh "$ETCD_AUTHORITY" "$ETCD_CERTIFICATE" etcd "$ETCD_MEMBER" "$alternative") || {
    # a member does not stay down for want of a new certificate while it has an old one
    [[ -s $ETCD_CERTIFICATE ]] || etcd_fail "no certificate: $words"
    words="no new certificate: $words"
  }
  chown root:etcd "$ETCD_CERTIFICATE"
  chmod 640 "$ETCD_CERTIFICATE"
  if [[ -n $words ]]; then etcd_note "$words"; fi
}

etcd_common_name() { # FILE
  openssl x509 -in "$1" -noout -subject -nameopt multiline | sed -nE 's/^ *commonName *= //p'
}

# Every listed member, a line each: whether it takes encrypted and plain questions.
etcd_speaks() { # ADDRESS
  local encrypted=no plain=no
  # a busy one may not answer within etcd's own second
  for _ in 1 2 3; do
    if etcd_answers "$1" https; then encrypted=yes && break; fi
    sleep 1
  done
  if etcd_answers "$1" http; then plain=yes; fi
  printf '%s-%s\n' "$encrypted" "$plain"
}

# When every member understands TLS, they are told to speak it among each other: nobody restarts for it.
etcd_move_peers() {
  local id name peer address members
  members=$(etcd_members "$ETCD_ADDRESS")
  while read -r id _ name peer _ address; do
    if [[ $(etcd_speaks "$address") != yes-* ]]; then
      etcd_note "members speak plainly among each other until $name understands TLS"
      return 0
    fi
  done <<<"$members"
  while read -r id _ name peer _ address; do
    if [[ $peer == https://* ]]; then continue; fi
    etcd_ctl "$ETCD_ADDRESS" -- member update "$id" --peer-urls="$(etcd_url "$address" 2381 https)" >/dev/null
    etcd_note "the others speak to $name by TLS from their next connection on"
  done <<<"$members"
}

# When nobody can come without a certificate, each may do what its name says: members of etcd all, a set what is below its own
# name. Both interfaces know users of their own: Patroni uses the older one, and members come and go by the newer one.
etcd_guard() {
  local name address members
  if ! etcd_auth enable | grep '"enabled":true' >/dev/null; then
    members=$(etcd_members "$ETCD_ADDRESS")
    while read -r _ _ name _ _ address; do
      # twice: a busy one may miss a plain question that it would have answered
      if [[ $(etcd_speaks "$address") != yes-no || $(etcd_speaks "$address") != yes-no ]]; then
        etcd_note "whoever comes may write everything until $name takes certificates only"
        return 0
      fi
    done <<<"$members"
  fi
  etcd_guard_members
  etcd_guard_keys
}

etcd_guard_members() {
  local name known
  etcd_try role add root
  known=$(etcd_ctl "$ETCD_ADDRESS" -- user list)
  for name in root "${ETCD_NODES[@]}"; do
    if ! grep --quiet --line-regexp --fixed-strings "$name" <<<"$known"; then etcd_try user add "$name" --no-password; fi
    # a user may be there without its role, where this was cut off
    if ! etcd_ctl "$ETCD_ADDRESS" -- user get "$name" | grep '^Roles: root$' >/dev/null; then etcd_try user grant-role "$name" root; fi
  done
  for name in root "${ETCD_NODES[@]}"; do
    etcd_ctl "$ETCD_ADDRESS" -- user get "$name" | grep '^Roles: root$' >/dev/null || etcd_fail "etcd does not take $name for a member"
  done
  # says nothing else where it is on already
  etcd_ctl "$ETCD_ADDRESS" -- auth enable >/dev/null
}

# Another member may do the same at this moment: what counts is what is there afterwards.
etcd_try() { etcd_ctl "$ETCD_ADDRESS" -- "$@" >/dev/null 2>&1 || true; }

etcd_guard_keys() {
  local name
  # whoever is nobody: without it etcd would make one that may do everything
  etcd_have roles/guest '{"role":"guest","permissions":{"kv":{"read":[],"write":[]}}}'
  etcd_have users/root "{\"user\":\"root\",\"password\":\"$(etcd_dice)\"}"
  for name in "${ETCD_NODES[@]}"; do
    etcd_have "users/$name" "{\"user\":\"$name\",\"password\":\"$(etcd_dice)\",\"roles\":[\"root\"]}"
  done
  for name in "${ETCD_SETS[@]}"; do
    etcd_have "roles/$name" "{\"role\":\"$name\",\"permissions\":{\"kv\":{\"read\":[\"/service/$name/*\"],\"write\":[\"/service/$name/*\"]}}}"
    etcd_have "users/$name" "{\"user\":\"$name\",\"password\":\"$(etcd_dice)\",\"roles\":[\"$name\"]}"
  done
  if ! etcd_auth enable | grep '"enabled":true' >/dev/null; then
    etcd_auth enable --request PUT >/dev/null || true
    etcd_auth enable | grep '"enabled":true' >/dev/null || etcd_fail "etcd does not ask who may write what"
    etcd_note "each user writes what is its own only"
  fi
}

etcd_auth() { # WHAT ARGUMENT...
  etcd_curl 10 --fail "${@:2}" "$(etcd_url "$ETCD_ADDRESS" "$ETCD_CLIENT")/v2/auth/$1"
}

etcd_have() { # WHAT BODY
  if etcd_auth "$1" >/dev/null; then return; fi
  # on standard input: nobody else sees it there
  etcd_auth "$1" --request PUT --header 'Content-Type: application/json' --data-binary @- >/dev/null <<<"$2" || true
  etcd_auth "$1" >/dev/null || etcd_fail "etcd has no $1, and does not take it"
}

# A password that nobody knows: who somebody is, its certificate says.
etcd_dice() { head --bytes=32 /dev/urandom | sha256sum | cut --characters=-64; }
