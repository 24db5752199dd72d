#!/bin/bash
# Makes the node run the files. A running node that was started with just these only reads its seeds and certificates again;
# a restart waits until every other node is up, and a first start joins the ring.
# shellcheck source-path=SCRIPTDIR source=functions.sh
. /usr/local/lib/cdktf-ha/cassandra/functions.sh

# Seconds until a node that has joined before must answer again: it replays its commit log.
START_SECONDS=1800

is_running() { systemctl is-active --quiet "$RING_UNIT"; }

prepare_machine() {
  if command -v chronyd >/dev/null; then systemctl enable --now --quiet chrony 2>/dev/null || true; fi
  if [[ -n $RING_VOLUME ]]; then
    bash /usr/local/lib/cdktf-ha/volume.sh "$RING_VOLUME" "$RING_DEVICE" ha-cassandra "$RING_DATA" var-lib-cassandra.mount
    bash /usr/local/lib/cdktf-ha/adopt.sh "$RING_DATA" "$RING_DATA/data" cassandra
  fi
  install --directory --mode=0750 --owner=cassandra --group=cassandra "$RING_DATA"
  chmod 751 "$RING_DATA"
  bash "$RING_LIB/install.sh"
}

# What lies there without having been joined by us.
clear_stray_data() {
  [[ -d $RING_DATA/data ]] || return 0
  local keyspaces aside
  keyspaces=$(find "$RING_DATA/data" -mindepth 1 -maxdepth 1 -type d -printf '%f\n' | grep -vE '^system($|_)' | paste -sd ' ' || true)
  [[ -z $keyspaces ]] ||
    ring_fail "$RING_DATA/data holds keyspaces of some other life ($keyspaces), and this node has joined no ring yet. Move them away, or restore from them later"
  # a package or a hand has started it once, as a cluster of its own: it would remember other tokens, or another cluster's name
  aside=$RING_DATA/stray-$(date --utc +%Y%m%dT%H%M%SZ)
  ring_note "data of a start before the ring's own is moved to $aside"
  set_aside "$aside"
}

set_aside() {
  local part
  mkdir "$1"
  for part in "$RING_DATA"/{data,commitlog,hints,saved_caches,first-start} "$RING_DATA"/cdktf-ha-*; do
    if [[ -e $part ]]; then mv "$part" "$1/"; fi
  done
}

first_seeds() { # ADDRESS...
  sed -E "s/^( *- seeds:).*/\1 '$(IFS=, && printf '%s' "$*")'/" "$RING_YAML" >"$RING_FIRST/cassandra.yaml"
}

# For as many copies as the racks that are there allow.
spread_tokens() { # ADDRESS...
  local setting=allocate_tokens_for_local_replication_factor wanted copies
  wanted=$(sed -nE "s/^$setting: *([0-9]+)$/\1/p" "$RING_FIRST/cassandra.yaml")
  if [[ -z $wanted ]]; then return; fi
  copies=$(ring_cql allocate "$wanted" "$@") || ring_fail "the ring could not be asked for its racks: $copies"
  sed --in-place -E "s/^$setting:.*/$setting: $copies/" "$RING_FIRST/cassandra.yaml"
}

# A node that has no data yet founds the ring, joins it, or takes the place of a dead one.
prepare_first_start() {
  local address answer old alive=() silent=()
  ring_read_marker
  if [[ $NODE_STATE == joined ]]; then return; fi
  if [[ -z $NODE_STATE ]]; then clear_stray_data; fi
  ring_write_marker joining
  install --directory --mode=0750 --owner=root --group=cassandra "$RING_FIRST"
  rm --force "$RING_FIRST"/*
  while read -r address; do
    [[ -n $address ]] || continue
    answer=$(ring_probe "$address")
    case $answer in
      open) alive+=("$address") ;;
      silent) silent+=("$address") ;;
    esac
  done < <(ring_other_addresses)
  if ((${#alive[@]} == 0)); then
    [[ $RING_NODE == "$RING_FOUNDER" ]] ||
      ring_fail "no other node of the ring answers on port ${RING_STORAGE_PORTS// / or }, and a ring begins with $RING_FOUNDER: is that one up, and does its firewall let this machine in?"
    # who says nothing may be the ring, behind a cable that is cut: a second one would take rows that the first never sees
    ((${#silent[@]} == 0)) ||
      ring_fail "nothing is heard from ${silent[*]}, not even that no Cassandra runs there. A ring begins only where all its machines are up and let this one in: a second one beside it could not be joined to it again"
    ring_note "begins the ring '$RING_CLUSTER'"
    # its own and only seed, whoever the seeds are later
    first_seeds "$RING_ADDRESS"
    printf '%s\n' -Dcassandra.superuser_setup_delay_ms=0 >"$RING_FIRST/options"
    return
  fi
  # A node that is its own seed skips the bootstrap and serves an empty disk. Until it has joined, its seeds are the others.
  first_seeds "${alive[@]:0:3}"
  # a join that was cut off begins again: what was written in between has passed by the rows that had come (CASSANDRA-17679)
  printf '%s\n' -Dcassandra.reset_bootstrap_progress=true >"$RING_FIRST/options"
  old=$(ring_cql predecessor "${alive[@]}") || ring_fail "the ring could not be asked whether this node takes another one's place: $old"
  if [[ -n $old ]]; then
    ring_note "takes the place of $RING_NODE at $old, which is dead"
    printf '%s\n' "-Dcassandra.replace_address_first_boot=$old" >>"$RING_FIRST/options"
  else
    spread_tokens "${alive[@]}"
    ring_note "joins the ring '$RING_CLUSTER' by ${alive[*]:0:3}"
  fi
}

# The port for clients opens when the node has joined. Where rows could not be streamed, Cassandra goes on without it.
wait_until_it_answers() { # SECONDS
  local until=$((SECONDS + $1)) next=$((SECONDS + 5)) restarts words
  while ! ring_open "$RING_ADDRESS" 9042; do
    restarts=$(systemctl show --property=NRestarts --value "$RING_UNIT")
    if ! systemctl is-active --quiet "$RING_UNIT" || ((restarts > 0)); then
      systemctl stop "$RING_UNIT" || true
      ring_fail "Cassandra ended by itself"
    fi
    if ((SECONDS >= next)); then
      next=$((SECONDS + 5))
      words=$(failed_streams)
      if [[ -n $words ]]; then
        systemctl stop "$RING_UNIT" || true
        ring_fail "the node could not get its rows; the next apply begins again: $words"
      fi
    fi
    ((SECONDS < until)) || ring_fail "port 9042 does not answer after $1 s"
    sleep 0.3
  done
}

# What the running daemon says of a bootstrap that it has given up; nothing while it goes on.
failed_streams() {
  local start words
  start=$(systemctl show --property=InvocationID --value "$RING_UNIT")
  words=$(journalctl --output=cat --no-pager --quiet "_SYSTEMD_INVOCATION_ID=$start" --grep='streaming failed|Stream failed' || true)
  if [[ $words == *"Some data streaming failed"* ]]; then awk '!seen[$0]++' <<<"$words" | tail --lines=5; fi
}

# A node that is just starting for the first time has joined when it answers.
await_membership() {
  wait_until_it_answers "$RING_JOIN_SECONDS"
  # its upkeep makes up for what the node that it was filled from has missed
  if grep -q replace_address "$RING_FIRST/options"; then : >"$RING_DATA/cdktf-ha-replaced"; fi
  ring_write_marker joined
  # the running daemon reads its seeds there as long as it lives
  if [[ -e $RING_FIRST/cassandra.yaml ]]; then ln --symbolic --force "$RING_YAML" "$RING_FIRST/cassandra.yaml"; fi
}

prepare_machine
if is_running; then
  # an activation was killed while it joined: it is not stopped half way
  ring_read_marker
  if [[ $NODE_STATE == joining && -e $RING_FIRST/options ]]; then await_membership; fi
  # who asks the others may have to show a certificate; who reads certificates only at the start is restarted for a new one
  changed=no
  if ring_make_stores; then changed=yes; fi
  if ring_runs_these; then
    if [[ $RING_TLS_RELOADS == yes ]]; then
      if [[ $changed == yes ]]; then ring_nodetool reloadssl; fi
      if [[ $HA_ACTION != none ]]; then ring_nodetool reloadseeds >/dev/null; fi
    fi
    ring_write_release
    systemctl enable --quiet "$RING_UNIT"
    exit 0
  fi
  ring_wait_until_normal 120 "this node would be stopped while another one is not there, and rows could not be read at quorum"
  systemctl stop "$RING_UNIT" # drains: see the unit
fi
ring_make_stores || true
prepare_first_start
if compgen -G "$RING_FIRST/*" >/dev/null; then
  chown --no-dereference root:cassandra "$RING_FIRST"/*
  chmod 640 "$RING_FIRST"/*
fi
ring_write_release # from here on its files are there
systemctl reset-failed "$RING_UNIT" 2>/dev/null || true
systemctl start "$RING_UNIT"
if [[ $NODE_STATE == joined ]]; then
  wait_until_it_answers $START_SECONDS
else
  await_membership
fi
systemctl enable --quiet "$RING_UNIT"
