#!/bin/bash
# A cloud delivers an address where its API was told to. Run by keepalived's notification as an instance becomes MASTER
# (take), and every ten seconds for each instance that is MASTER (verify): two nodes that were master at once for a moment
# may have called the API in the wrong order, and nobody would call it again.
#   vrrp-claim INSTANCE          take          vrrp-claim --verify          all instances
set -u
states=/run/cdktf-ha-vrrp
claims=/usr/local/lib/cdktf-ha/vrrp-claims

is_master() { [[ $(cat "$states/$1" 2>/dev/null) == MASTER ]]; }

# until it is done, or somebody else is master
insist() { # INSTANCE CLAIM take|verify
  local instance=$1 claim=$2 verb=$3 words pause=1 start=$SECONDS
  exec 9>"$states/.${claim##*/}.lock"
  flock --nonblock 9 || return 0 # somebody is at it
  until words=$(timeout 30 "$claim" "$verb" 2>&1); do
    words+=" (status $?)" # 124: no end within 30 s
    logger --tag cdktf-ha-vrrp --priority daemon.err "${claim##*/}: ${words//$'\n'/ }"
    sleep "$pause"
    ((pause < 8)) && pause=$((pause * 2))
    is_master "$instance" || return 0
    verb=take
  done
  [[ -z $words ]] || logger --tag cdktf-ha-vrrp --priority daemon.notice "${claim##*/}: $words after $((SECONDS - start)) s"
}

claim_all() { # INSTANCE take|verify
  local claim
  for claim in "$claims/$1".*; do
    [[ -x $claim ]] && insist "$1" "$claim" "$2" &
  done
  wait
}

if [[ $1 == --verify ]]; then
  for state in "$states"/*; do
    if is_master "${state##*/}"; then claim_all "${state##*/}" verify & fi
  done
  wait
else
  claim_all "$1" take
fi
