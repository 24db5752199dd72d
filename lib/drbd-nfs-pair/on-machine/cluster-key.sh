#!/bin/bash
# shellcheck disable=SC2153 # the facts come from a file
# The cluster's key, and how a pair that serves goes over to another one. Corosync reads its file at its start, and at a reload, which is one moment
# for both nodes: by then both have to have the new key. So each tells the other that it has it, then puts it in place and tells that, and whoever
# knows that both have it in place reloads. Wherever that is cut short:
# - a node with a vote, as the one that serves, changes its key alone only if the other one has it as well and has been away for minutes;
# - a node that hears nobody and has no vote has nothing to lose: it tries both keys until the other one hears it.

pair_key=/etc/corosync/authkey
# while the pair goes over: the key that it has had so far, and the one that the code says
pair_last_key=$pair_key.last
pair_next_key=$pair_key.next

# Made of the pair's secret: as long as corosync wants it, and the secret itself cannot be found from it.
pair_cluster_key() { # [FILE]
  local file=${1:-/etc/cdktf-ha/drbd-nfs-cluster.key} part
  for part in 1 2; do
    { printf 'corosync %s ' "$part" && cat "$file"; } | sha512sum | cut -d ' ' -f 1 | tr -d '\n'
  done
}

pair_key_changes() { [[ -s $pair_last_key && -s $pair_next_key ]]; }

# A third key would be one too many. The way back is open as long as this node has changed nothing. Asked before DRBD, the first, gets the secret.
pair_fail_if_secret_refused() {
  local file=/etc/cdktf-ha/drbd-nfs.key
  pair_key_changes || return 0
  cmp --quiet "$pair_next_key" <(pair_cluster_key "$file") && return
  cmp --quiet "$pair_last_key" <(pair_cluster_key "$file") && cmp --quiet "$pair_last_key" "$pair_key" && return
  pair_fail "the pair is going over to another secret still: apply that one again, with both nodes up, until it is through; then this one"
}

# A timer, a push and whoever asks for the state come at once.
pair_one_at_a_time() { (flock --timeout 120 9 && "$@") 9>/run/cdktf-ha-nfs-key; } # COMMAND...

# The code's key: the first one is used from the start, another one as soon as both nodes have it.
pair_take_key() {
  local wanted=$pair_key.wanted
  (umask 077 && pair_cluster_key >"$wanted") || return
  if [[ ! -s $pair_key ]]; then
    pair_put_key "$wanted" || return
  elif pair_key_changes; then
    # the code has taken it back, and the other node, which has one key as well, has not begun
    if cmp --quiet "$wanted" "$pair_last_key" && cmp --quiet "$pair_key" "$pair_last_key" && pair_peer_says uses "$pair_last_key"; then
      rm --force "$pair_next_key" "$pair_last_key"
    fi
  elif ! cmp --quiet "$wanted" "$pair_key"; then
    (umask 077 && cp "$pair_key" "$pair_last_key") && sync "$pair_last_key" "$wanted" && mv "$wanted" "$pair_next_key" && sync /etc/corosync || return
  fi
  rm --force "$wanted"
}

# At once or not at all, and on disk before anybody is told.
pair_put_key() { # FILE
  (umask 077 && cp "$1" "$pair_key.new") && sync "$pair_key.new" && mv "$pair_key.new" "$pair_key" && sync /etc/corosync
}

# What a node tells of its keys: `has-HASH` and then `ready-HASH` of a new one, and `uses-HASH` where there is none. Of the hash there is just enough to
# notice two keys that differ. Only the running cluster knows it, and forgets it when the node is gone.
pair_key_told() { pair_told ha-key "$1" '[^"]+'; } # NODE
pair_key_hash() { sha256sum <"$1" | cut -c 1-4; }
pair_tell_key() { timeout 20 attrd_updater --name ha-key --private --update "$1-$(pair_key_hash "$2")" >/dev/null; }
pair_peer_says() { [[ $(pair_key_told "$PAIR_PEER") == $1-"$(pair_key_hash "$2")" ]]; } # PATTERN KEY

pair_quorum() { timeout 30 corosync-quorumtool -s 2>/dev/null || true; } # its status is no 0 for a quorum

# both: the two hear each other. alone, lone: this node hears nobody, and has a vote more, or none. Nothing: it cannot be told.
pair_membership() {
  case $(pair_quorum | sed -nE 's/^(Nodes|Quorate): +//p' | tr '\n' ' ') in
    '2 '*) echo both ;;
    '1 Yes ') echo alone ;;
    '1 No ') echo lone ;;
  esac
}

# Both nodes count the third vote: either could go on without the other one.
pair_both_count_third_vote() { pair_quorum | pair_shows_third_vote; }
pair_shows_third_vote() { (($(grep -c ' A,V,') == 2)); }

# One step of the way, if the code's key is another one. Both nodes do it once a minute, and a push until it is through.
pair_change_key() { pair_one_at_a_time pair_step_key; }
pair_step_key() {
  local alone=/run/cdktf-ha-nfs-key-alone
  pair_take_key || return
  if ! pair_key_changes; then
    pair_tell_key uses "$pair_key" 2>/dev/null || true
    return 0
  fi
  # a connection that breaks meanwhile is refused: one node has the new secret, the other one the old one
  if [[ $(pair_connection) == StandAlone ]] && ! pair_has_split; then drbdadm adjust "$PAIR_RESOURCE" || true; fi
  case $(pair_membership) in
    both)
      rm --force "$alone"
      pair_go_over
      ;;
    alone)
      [[ -e $alone ]] || touch "$alone"
      # who is ready knows that the other one has both keys; or a new machine is in its place, which has this one
      if cmp --quiet "$pair_key" "$pair_next_key" && [[ -n $(find "$alone" -mmin +5) ]]; then
        rm "$alone"
        timeout 30 corosync-cfgtool -R
      fi
      ;;
    lone) pair_try_a_key ;;
  esac
}

pair_go_over() {
  if ! cmp --quiet "$pair_key" "$pair_next_key"; then
    pair_tell_key has "$pair_next_key" || return
    pair_peer_says '*' "$pair_next_key" || return 0
    pair_put_key "$pair_next_key" || return
  elif pair_peer_says uses "$pair_last_key"; then
    # the other node's code has taken it back
    pair_put_key "$pair_last_key" || return
    pair_tell_key has "$pair_next_key"
    return
  fi
  pair_tell_key ready "$pair_next_key" || return
  pair_peer_says '@(ready|uses)' "$pair_next_key" || return 0
  # whatever goes wrong now, the third vote says who goes on
  pair_both_count_third_vote || return 0
  timeout 30 corosync-cfgtool -R || return
  # a node that has not taken it is missed after 2.2 times of the token
  sleep $((3 * $(sed -n 's/^ *token: //p' /etc/corosync/corosync.conf) / 1000 + 1))
  [[ $(pair_membership) == both ]] || return 0
  rm --force "$pair_next_key" "$pair_last_key"
  pair_tell_key uses "$pair_key" || true
  pair_note "the cluster uses its new key"
}

# By the clock: one node takes the other key every minute, the other one every two, so sooner or later they have the same one.
pair_try_a_key() {
  local turn=$((EPOCHSECONDS / 60)) file=$pair_last_key other=$pair_next_key
  [[ $PAIR_NODE != "$PAIR_FOUNDER" ]] || turn=$((turn / 2))
  if ((turn % 2 == 0)); then file=$pair_next_key other=$pair_last_key; fi
  if cmp --quiet "$file" "$pair_key"; then return; fi
  # after a boot each is so for a moment
  sleep 20
  [[ $(pair_membership) == lone ]] || return 0
  pair_tell_key has "$pair_next_key" || true
  pair_put_key "$file" || return
  # a reload would be the other node's too
  if [[ $(pair_membership) != lone ]]; then
    pair_put_key "$other"
    return
  fi
  timeout 30 corosync-cfgtool -R || return
  pair_note "hears nobody, and tries the other one of the cluster's keys"
}
