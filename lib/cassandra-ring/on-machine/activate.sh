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
  bash "$RING_LIB/volume.sh"
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
  for part in data commitlog hints saved_caches first-start cdktf-ha-node; do
    if [[ -e $RING_DATA/$part ]]; then mv "$RING_DATA/$part" "$1/"; fi
  done
}

first_seeds() { # ADDRESS...
  sed -E "s/^( *- seeds:).*/\1 '$(IFS=, && printf '%s' "$*")'/" "$RING_YAML" >"$RING_FIRST/cassandra.yaml"
}

# A node that has no data yet founds the ring, joins it, or takes the place of a dead one.
prepare_first_start() {
  local address old alive=()
  ring_read_marker
  if [[ $NODE_STATE == joined ]]; then return; fi
  if [[ -z $NODE_STATE ]]; then clear_stray_data; fi
  ring_write_marker joining
  install --directory --mode=0750 --owner=root --group=cassandra "$RING_FIRST"
  rm --force "$RING_FIRST"/*
  while read -r address; do
    if [[ -n $address ]] && ring_open "$address" 7000; then alive+=("$address"); fi
  done < <(ring_other_addresses)
  if ((${#alive[@]} == 0)); then
    [[ $RING_NODE == "$RING_FOUNDER" ]] ||
      ring_fail "no other node of the ring answers on port 7000, and a ring begins with $RING_FOUNDER: is that one up, and does its firewall let this machine in?"
    ring_note "begins the ring '$RING_CLUSTER'"
    # its own and only seed, whoever the seeds are later
    first_seeds "$RING_ADDRESS"
    printf '%s\n' -Dcassandra.superuser_setup_delay_ms=0 >"$RING_FIRST/options"
    return
  fi
  # A node that is its own seed skips the bootstrap and serves an empty disk. Until it has joined, its seeds are the others.
  first_seeds "${alive[@]:0:3}"
  : >"$RING_FIRST/options"
  old=$(ring_cql predecessor "${alive[@]}") || ring_fail "the ring could not be asked whether this node takes another one's place: $old"
  if [[ -n $old ]]; then
    ring_note "takes the place of $RING_NODE at $old, which is dead"
    printf '%s\n' "-Dcassandra.replace_address_first_boot=$old" >"$RING_FIRST/options"
  else
    ring_note "joins the ring '$RING_CLUSTER' by ${alive[*]:0:3}"
  fi
}

# The port for clients opens when the node has joined.
wait_until_it_answers() { # SECONDS
  local until=$((SECONDS + $1)) restarts
  while ! ring_open "$RING_ADDRESS" 9042; do
    restarts=$(systemctl show --property=NRestarts --value "$RING_UNIT")
    if ! systemctl is-active --quiet "$RING_UNIT" || ((restarts > 0)); then
      systemctl stop "$RING_UNIT" || true
      ring_fail "Cassandra ended by itself"
    fi
    ((SECONDS < until)) || ring_fail "port 9042 does not answer after $1 s"
    sleep 0.3
  done
}

prepare_machine
if is_running; then
  if [[ $(cat "$RING_STARTED_WITH" 2>/dev/null) == "$(ring_fingerprint)" ]]; then
    if [[ $HA_ACTION != none && $RING_TLS_RELOADS == yes ]]; then
      if bash "$RING_LIB/stores.sh"; then ring_nodetool reloadssl; fi
      ring_nodetool reloadseeds >/dev/null
    fi
    systemctl enable --quiet "$RING_UNIT"
    exit 0
  fi
  bash "$RING_LIB/stores.sh" || true # who asks the others may have to show a certificate
  ring_wait_until_normal 120 "this node would be stopped while another one is not there, and rows could not be read at quorum"
  systemctl stop "$RING_UNIT" # drains: see the unit
fi
bash "$RING_LIB/stores.sh" || true
prepare_first_start
if compgen -G "$RING_FIRST/*" >/dev/null; then
  chown --no-dereference root:cassandra "$RING_FIRST"/*
  chmod 640 "$RING_FIRST"/*
fi
systemctl reset-failed "$RING_UNIT" 2>/dev/null || true
systemctl start "$RING_UNIT"
if [[ $NODE_STATE == joined ]]; then
  wait_until_it_answers $START_SECONDS
else
  wait_until_it_answers "$RING_JOIN_SECONDS"
  ring_write_marker joined
  # the running daemon reads its seeds there as long as it lives
  if [[ -e $RING_FIRST/cassandra.yaml ]]; then ln --symbolic --force "$RING_YAML" "$RING_FIRST/cassandra.yaml"; fi
fi
systemctl enable --quiet "$RING_UNIT"
