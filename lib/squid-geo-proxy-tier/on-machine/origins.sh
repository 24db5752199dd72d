#!/bin/bash
# Asks every origin about every second. One that does not answer twice in a row is refused to Squid by the node's own firewall, so
# that Squid asks another one at once; without, what was already sent to a machine that lost power would be waited for until Squid
# gives up. Where no origin of a pool answers, none is refused: then it may be this program that is wrong.
# Lines of the list: POOL ADDRESS PORT HOST PATH, or - for a path where a connection is enough.
set -uo pipefail
list=/etc/squid/cdktf-ha-origins
answers=/run/cdktf-ha-squid-origins
mkdir -p "$answers"
touch "$answers/started"
nft --file - <<'RULES'
table inet cdktf_ha_origins
delete table inet cdktf_ha_origins
table inet cdktf_ha_origins {
  set down4 { type ipv4_addr . inet_service; }
  set down6 { type ipv6_addr . inet_service; }
  chain output {
    type filter hook output priority -150; policy accept;
    meta skuid "proxy" ip daddr . tcp dport @down4 reject with tcp reset
    meta skuid "proxy" ip6 daddr . tcp dport @down6 reject with tcp reset
  }
}
RULES

ask() { # ADDRESS PORT HOST PATH
  # shellcheck disable=SC2016 # expanded inside
  timeout 1 bash -c '
    exec 3<>"/dev/tcp/$0/$1" || exit 1
    [[ $3 != - ]] || exit 0
    printf "GET %s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n" "$3" "$2" >&3
    read -r line <&3
    [[ $line =~ ^HTTP/1\.[01]\ [1-4] ]]' "$@" 2>/dev/null
}

declare -A failures
refused=''
while [[ ! $0 -nt $answers/started ]]; do # another version of this program: systemd starts it
  mapfile -t origins <"$list"
  for index in "${!origins[@]}"; do
    read -r _ address port host path <<<"${origins[index]}"
    (if ask "$address" "$port" "$host" "$path"; then echo up; else echo down; fi >"$answers/$index") &
  done
  wait
  declare -A down=() all=()
  for index in "${!origins[@]}"; do
    read -r pool address port _ <<<"${origins[index]}"
    key="$address $port"
    if [[ $(<"$answers/$index") == up ]]; then failures[$key]=0; else failures[$key]=$((${failures[$key]:-0} + 1)); fi
    all[$pool]=$((${all[$pool]:-0} + 1))
    ((failures[$key] < 2)) || down[$pool]+="$key"$'\n'
  done
  now=$(for pool in "${!down[@]}"; do
    [[ $(wc -l <<<"${down[$pool]%$'\n'}") == "${all[$pool]}" ]] || printf '%s' "${down[$pool]}"
  done | sort --unique)
  if [[ $now != "$refused" ]]; then
    {
      printf 'flush set inet cdktf_ha_origins down4\nflush set inet cdktf_ha_origins down6\n'
      while read -r address port; do
        [[ -z $address ]] || printf 'add element inet cdktf_ha_origins %s { %s . %s }\n' "$([[ $address == *:* ]] && echo down6 || echo down4)" "$address" "$port"
      done <<<"$now"
    } | nft --file -
    echo "origins that do not answer: ${now//$'\n'/, }"
    # what waits for an answer already
    while read -r address port; do
      [[ -z $address ]] || ss --kill --no-header --tcp dst "$address" dport = "$port" >/dev/null 2>&1
    done <<<"$now"
    refused=$now
  fi
  sleep 0.5
done
