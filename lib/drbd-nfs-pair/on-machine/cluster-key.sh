#!/bin/bash
# shellcheck disable=SC2153 # the facts come from a file
# The cluster's key, and how a pair that serves goes over to another one. Corosync reads its file at its start, and at a reload, which is one moment
# for both nodes: by then both have to have the new key. So each tells the other that it has it, then puts it in place and tells that, and whoever
# knows that both have it in place reloads. Wherever that is cut short:
# - the node that serves, and any with a vote, never changes its key alone;
# - a node that hears nobody and has no vote has nothing to lose: it tries both keys until the other one hears it.

pair_key=/etc/corosync/authkey
# while the pair goes over: the key that it has had so far, and the one that the code says
pair_last_key=$pair_key.last
pair_next_key=$pair_key.next

# Made of the pair's secret: as long as corosync wants it, and the secret itself cannot be found from it.
pair_cluster_key() {
  local part
  for part in 1 2; do
    { printf 'corosync %s ' "$part" && cat /etc/cdktf-ha/drbd-nfs.key; } | sha512sum | cut -d ' ' -f 1 | tr -d '\n'
  done
}

pair_key_changes() { [[ -s $pair_last_key && -s $pair_next_key ]]; }

# A third key would be one too many. The way back is open as long as this node has changed nothing.
pair_fail_if_secret_refused() {
  pair_key_changes || return 0
  cmp --quiet "$pair_next_key" <(pair_cluster_key) && return
  cmp --quiet "$pair_last_key" <(pair_cluster_key) && cmp --quiet "$pair_last_key" "$pair_key" && return
  pair_fail "the pair is going over to another secret still: apply that one again, with both nodes up, until it is through; then this one"
}

# The code's key: the first one is used from the start, another one as soon as both nodes have it.
pair_take_key() {
  local wanted=$pair_key.wanted
  (umask 077 && pair_cluster_key >"$wanted")
  if [[ ! -s $pair_key ]]; then
    pair_put_key "$wanted"
  elif pair_key_changes; then
    # the code has taken it back, and the other node knows nothing of it
    if cmp --quiet "$wanted" "$pair_key" && cmp --quiet "$pair_key" "$pair_last_key" && ! pair_peer_has_key; then
      rm --force "$pair_next_key" "$pair_last_key"
    fi
  elif ! cmp --quiet "$wanted" "$pair_key"; then
    (umask 077 && cp "$pair_key" "$pair_last_key")
    mv "$wanted" "$pair_next_key"
  fi
  rm --force "$wanted"
}

# At once or not at all, and on disk before anybody is told.
pair_put_key() { # FILE
  (umask 077 && cp "$1" "$pair_key.new") && sync "$pair_key.new" && mv "$pair_key.new" "$pair_key" && sync /etc/corosync
}

# What a node has told of its keys: `has-HASH` and then `ready-HASH` of a new one, and `uses-HASH` where there is none, with enough of a hash for both to mean
# the same key, and too little to guess it by. The cluster forgets it when the node is gone.
pair_key_told() { # NODE
  attrd_updater --name ha-key --query --node "$1" 2>/dev/null | sed -nE 's/.* value="([^"]+)".*/\1/p' || true
}
pair_key_hash() { sha256sum <"$1" | cut -c 1-8; }
pair_tell_key() { attrd_updater --name ha-key --update "$1-$(pair_key_hash "$2")" >/dev/null; }
pair_peer_has_key() { [[ $(pair_key_told "$PAIR_PEER") == *-"$(pair_key_hash "$pair_next_key")" ]]; }
pair_peer_is_ready() { pair_peer_has_key && [[ $(pair_key_told "$PAIR_PEER") != has-* ]]; }

# both: the two hear each other. lone: this node hears nobody, and has no vote. Nothing: neither is so, or it cannot be told.
pair_membership() {
  local words
  words=$(timeout 30 corosync-quorumtool -s 2>/dev/null) || true # its status is no 0 for a quorum
  if grep -E '^Nodes: +2$' <<<"$words" >/dev/null; then
    echo both
  elif grep -E '^Nodes: +1$' <<<"$words" >/dev/null && grep -E '^Quorate: +No$' <<<"$words" >/dev/null; then
    echo lone
  fi
}
pair_hears_peer() { [[ $(pair_membership) == both ]]; }

# One step of the way. Both nodes do it once a minute, and a push until it is through.
pair_change_key() {
  if ! pair_key_changes; then
    pair_tell_key uses "$pair_key" 2>/dev/null || true
    return 0
  fi
  case $(pair_membership) in
    both) pair_go_over ;;
    lone) pair_try_a_key ;;
  esac
}

pair_go_over() {
  if ! cmp --quiet "$pair_key" "$pair_next_key"; then
    pair_tell_key has "$pair_next_key" || return
    pair_peer_has_key || return 0
    pair_put_key "$pair_next_key" || return
  fi
  pair_tell_key ready "$pair_next_key" || return
  pair_peer_is_ready || return 0
  timeout 30 corosync-cfgtool -R || return
  pair_wait 30 pair_hears_peer || return
  # a connection that broke meanwhile was refused: one node had the new secret, the other one the old one
  if [[ $(pair_connection) == StandAlone ]]; then drbdadm adjust "$PAIR_RESOURCE"; fi
  rm --force "$pair_next_key" "$pair_last_key"
  pair_tell_key uses "$pair_key" || true
  pair_note "the cluster uses its new key"
}

# By the clock: one node takes the other key every minute, the other one every two, so sooner or later they have the same one.
pair_try_a_key() {
  local turn=$((EPOCHSECONDS / 60)) file=$pair_last_key
  [[ $PAIR_NODE != "$PAIR_FOUNDER" ]] || turn=$((turn / 2))
  ((turn % 2)) || file=$pair_next_key
  if cmp --quiet "$file" "$pair_key"; then return; fi
  # what was told before does not hold any more
  pair_tell_key has "$pair_next_key" || true
  pair_put_key "$file" || return
  timeout 30 corosync-cfgtool -R || return
  pair_note "hears nobody, and tries the other one of the cluster's keys"
}
