#!/bin/bash
# Makes the member run its files. A cluster begins with its first member alone; every other one joins it, as a learner that
# has no vote until it knows everything. A member restarts only while the others have a quorum without it.
# shellcheck source-path=SCRIPTDIR source=functions.sh
. /usr/local/lib/cdktf-ha/etcd/functions.sh

OWN_PEER=$(etcd_url "$ETCD_ADDRESS" "$ETCD_PEER")

begin_with() { # STATE INITIAL-CLUSTER
  printf 'ETCD_INITIAL_CLUSTER_STATE=%s\nETCD_INITIAL_CLUSTER=%s\nETCD_INITIAL_CLUSTER_TOKEN=cdktf-ha\n' "$1" "$2" >"$ETCD_FIRST_START"
  chmod 644 "$ETCD_FIRST_START"
}

# Patroni of another member still runs: a cluster that is only out of reach must not be begun anew.
# shellcheck disable=SC2016 # expanded inside
refuse_second_life() {
  local name address
  while read -r name address; do
    [[ $name != "$ETCD_MEMBER" ]] || continue
    if timeout 2 bash -c 'exec 3<>"/dev/tcp/$1/8008"' _ "$address" 2>/dev/null; then
      etcd_fail "no other member of etcd answers, but Patroni runs on $name: the cluster lives and is out of reach. Bring a quorum of its members back first"
    fi
  done <<<"$ETCD_MEMBERS"
}

join() { # ADDRESS...
  local id name peer words
  while read -r id _ name peer _; do
    # a join that was cut short, or the machine that had this name before
    if [[ $peer == "$OWN_PEER" || $name == "$ETCD_MEMBER" ]]; then
      etcd_note "removes member $id ($name at $peer), whose place this one takes"
      etcd_ctl "$@" -- member remove "$id" >/dev/null
    fi
  done < <(etcd_members "$@")
  # right after a change etcd refuses the next one until all members have heard of it
  for _ in {1..30}; do
    if words=$(etcd_ctl "$@" -- member add "$ETCD_MEMBER" --learner --peer-urls="$OWN_PEER" 2>&1); then break; fi
    sleep 1
  done
  local cluster
  cluster=$(sed -nE 's/^ETCD_INITIAL_CLUSTER="(.*)"$/\1/p' <<<"$words")
  [[ -n $cluster ]] || etcd_fail "the cluster does not take this member: $words"
  begin_with existing "$cluster"
  etcd_note "joins the cluster as a learner: $cluster"
}

# The others' list has this machine no longer: it was removed while it was away.
was_removed() { # ADDRESS...
  local members
  members=$(etcd_members "$@") || return 1
  ! awk -v peer="$OWN_PEER" '$4 == peer { found = 1 } END { exit !found }' <<<"$members"
}

set_aside() {
  local aside
  aside=/var/lib/etcd/left-$(date --utc +%Y%m%dT%H%M%SZ)
  mv "$ETCD_DATA" "$aside"
  etcd_note "what this member knew is in $aside"
}

# A learner gets its vote when it has caught up.
promote() { # ADDRESS...
  local id learner words='' until=$((SECONDS + 120))
  while true; do
    read -r id learner < <(etcd_members "$@" | awk -v peer="$OWN_PEER" '$4 == peer { print $1, $5 }') || true
    if [[ $learner == false ]]; then return; fi
    if [[ -n $id ]]; then words=$(etcd_ctl "$@" -- member promote "$id" 2>&1) && continue; fi
    ((SECONDS < until)) || etcd_fail "this member does not get a vote: $words"
    sleep 0.5
  done
}

wait_until_it_answers() {
  local until=$((SECONDS + 60))
  until etcd_answers "$ETCD_ADDRESS"; do
    ((SECONDS < until)) || etcd_fail "etcd does not answer, or has no quorum"
    sleep 0.2
  done
}

install --directory --mode=0755 --owner=etcd --group=etcd /var/lib/etcd
mapfile -t others < <(etcd_others)
if etcd_is_running && etcd_has_data && ((${#others[@]})) && was_removed "${others[@]}"; then systemctl stop "$ETCD_UNIT"; fi
if etcd_is_running && etcd_has_data; then
  if [[ $HA_ACTION == none ]]; then
    if ((${#others[@]})); then promote "${others[@]}"; fi
    exit 0
  fi
  # every member of the cluster must be there: then one less is a quorum
  count=$(etcd_members "$ETCD_ADDRESS" | wc -l)
  ((${#others[@]} + 1 >= count)) || etcd_fail "this member would restart while another one is not there"
  systemctl restart "$ETCD_UNIT"
else
  systemctl stop "$ETCD_UNIT" # a package starts one of its own
  if etcd_has_data && ((${#others[@]})) && was_removed "${others[@]}"; then set_aside; fi
  if ! etcd_has_data; then
    if ((${#others[@]})); then
      join "${others[@]}"
    else
      [[ $ETCD_MEMBER == "$ETCD_FOUNDER" ]] ||
        etcd_fail "no other member answers, and the cluster begins with $ETCD_FOUNDER: is that one up, and does its firewall let this machine in?"
      refuse_second_life
      etcd_note "begins the cluster"
      begin_with new "$ETCD_MEMBER=$OWN_PEER"
    fi
  fi
  systemctl reset-failed "$ETCD_UNIT" 2>/dev/null || true
  systemctl start --no-block "$ETCD_UNIT"
fi
systemctl enable --quiet "$ETCD_UNIT"
if ((${#others[@]})); then promote "${others[@]}"; fi
wait_until_it_answers
