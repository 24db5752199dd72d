#!/bin/bash
# Makes the member run its files. A cluster begins with its first member alone; every other one joins it, as a learner that
# has no vote until it knows everything. A member restarts only while the others have a quorum without it.
# shellcheck source-path=SCRIPTDIR source=functions.sh
. /usr/local/lib/cdktf-ha/etcd/functions.sh

OWN_PEER=$(etcd_url "$ETCD_ADDRESS" "$ETCD_PEER")

begin_with() { # STATE INITIAL-CLUSTER
  if [[ -e $ETCD_DATA ]]; then set_aside; fi
  # the ids of a cluster and of its members are made of it: no two lives have the same
  printf 'ETCD_INITIAL_CLUSTER_STATE=%s\nETCD_INITIAL_CLUSTER=%s\nETCD_INITIAL_CLUSTER_TOKEN=cdktf-ha-%s\n' \
    "$1" "$2" "$(</proc/sys/kernel/random/uuid)" >"$ETCD_FIRST_START"
  chmod 644 "$ETCD_FIRST_START"
  remember_tls
}

# A cluster that is only out of reach must not be begun anew. Each other machine has to say itself that no etcd runs there:
# silence is no answer. Where Patroni runs, a cluster lives.
refuse_second_life() {
  local name address
  while read -r name address; do
    [[ $name != "$ETCD_MEMBER" ]] || continue
    case $(etcd_probe "$address" "$ETCD_CLIENT")$(etcd_probe "$address" "$ETCD_PEER") in
      *open*) etcd_fail "etcd runs on $name, without a quorum: the cluster lives. Bring a quorum of its members back first" ;;
      *silent*) etcd_fail "$name at $address does not answer, so it is not known whether the cluster lives there. Bring it back; or, if it is lost for good, take it out of the code" ;;
    esac
    if [[ $(etcd_probe "$address" 8008) == open ]]; then
      etcd_fail "no other member of etcd answers, but Patroni runs on $name: the cluster lives and is out of reach. Bring a quorum of its members back first"
    fi
  done <<<"$ETCD_MEMBERS"
}

join() { # ADDRESS...
  local id name peer address words
  while read -r id _ name peer _ address; do
    # a join that was cut short, or the machine that had this name before
    if [[ $address == "$ETCD_ADDRESS" || $name == "$ETCD_MEMBER" ]]; then
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
  if awk -v address="$ETCD_ADDRESS" '$6 == address { found = 1 } END { exit !found }' <<<"$members"; then return 1; fi
  local theirs own
  theirs=$(etcd_cluster_id "$@")
  [[ -n $theirs ]] || return 1
  own=$(cat "$ETCD_CLUSTER_ID" 2>/dev/null || true)
  if [[ -n $own && $own != "$theirs" ]]; then
    etcd_fail "this machine holds data of another cluster (id $own) than the one that answers (id $theirs): one of them was begun a second time. Find out which one Patroni's members belong to, and move $ETCD_DATA away on the machines of the other one"
  fi
}

remember_tls() {
  if [[ ${ETCD_TLS:-none} == none ]]; then rm --force "$ETCD_TLS_STATE"; else printf '%s\n' "$ETCD_TLS" >"$ETCD_TLS_STATE"; fi
}

# What was told to the first start is told to no other one: a member whose data is gone does not begin a cluster of its own.
remember() {
  etcd_cluster_id "$ETCD_ADDRESS" >"$ETCD_CLUSTER_ID"
  remember_tls
  rm --force "$ETCD_FIRST_START"
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
    read -r id learner < <(etcd_members "$@" | awk -v address="$ETCD_ADDRESS" '$6 == address { print $1, $5 }') || true
    if [[ $learner == false ]]; then return; fi
    if [[ -n $id ]]; then words=$(etcd_ctl "$@" -- member promote "$id" 2>&1) && continue; fi
    ((SECONDS < until)) || etcd_fail "this member does not get a vote: $words"
    sleep 0.5
  done
}

wait_until_it_answers() {
  local until=$((SECONDS + 60))
  until etcd_answers "$ETCD_ADDRESS"; do
    if etcd_waits_for_others; then exit 0; fi
    ((SECONDS < until)) || etcd_fail "etcd does not answer, or has no quorum"
    sleep 0.2
  done
}

if command -v chronyd >/dev/null; then systemctl enable --now --quiet chrony 2>/dev/null || true; fi
# a volume that comes from another machine
if [[ -e /usr/local/lib/cdktf-ha/adopt.sh ]]; then bash /usr/local/lib/cdktf-ha/adopt.sh /var/lib/etcd "$ETCD_DATA" etcd; fi
install --directory --mode=0755 --owner=etcd --group=etcd /var/lib/etcd
if [[ ${ETCD_TLS:-none} != none ]]; then
  # shellcheck source=tls.sh
  . /usr/local/lib/cdktf-ha/etcd/tls.sh
  etcd_issue
fi
mapfile -t others < <(etcd_others)
if etcd_is_running && etcd_has_data && ((${#others[@]})) && was_removed "${others[@]}"; then systemctl stop "$ETCD_UNIT"; fi
if etcd_is_running && etcd_has_data; then
  # a certificate is read again at each handshake
  if [[ $HA_ACTION != restart ]]; then
    if ((${#others[@]})); then promote "${others[@]}"; fi
    remember
    exit 0
  fi
  # every member of the cluster must be there: then one less is a quorum
  count=$(etcd_members "$ETCD_ADDRESS" | wc -l)
  until=$((SECONDS + 60))
  # one that has just restarted, or is busy, gives no answer for a moment
  until ((${#others[@]} + 1 >= count)); do
    ((SECONDS < until)) || etcd_fail "this member would restart while another one is not there"
    sleep 1
    mapfile -t others < <(etcd_others)
  done
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
remember
