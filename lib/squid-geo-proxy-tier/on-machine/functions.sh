#!/bin/bash
# For the programs of this directory.
conf=/etc/squid/squid.conf

# Port on which Squid answers this machine.
squid_port() { sed -n 's/^http_port 127\.0\.0\.1:\([0-9]*\) .*/\1/p' "$conf"; }

# squid_state PORT: the fingerprint of the configuration that the running Squid has read
squid_state() {
  # shellcheck disable=SC2016 # expanded inside
  timeout 2 bash -c '
    exec 3<>"/dev/tcp/127.0.0.1/$0"
    printf "GET /cdktf-ha-state HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n" >&3
    sed -n "s|^Location: http://state.invalid/\([0-9A-Za-z]*\).*|\1|p" <&3' "$1" 2>/dev/null
}

# The sockets on which it listens for this machine: others after each start, and after each reading of the configuration.
squid_sockets() { ss --no-header --listening --tcp --numeric --extended "sport = :$(squid_port)" | grep -o 'ino:[0-9]*'; }

# Squid closes its ports while it reads its configuration anew, and refuses who comes just then. Held, a client's first
# packet gets no answer at all, and the client sends it again after a second. Connections that stand are left alone.
squid_hold() {
  local ports
  ports=$(awk '/^https?_port / { sub(/.*:/, "", $2); print $2 }' "$conf" | sort --unique | paste --serial --delimiters=,)
  squid_release
  # whatever happens to this program, nobody is held for long
  systemd-run --quiet --collect --on-active=30 --unit=cdktf-ha-squid-release nft delete table inet cdktf_ha_hold
  nft --file - <<RULES
table inet cdktf_ha_hold {
  chain input {
    type filter hook input priority -150; policy accept;
    iifname "lo" accept
    tcp dport { $ports } tcp flags & (fin | syn | rst | ack) == syn drop
  }
}
RULES
  # those who are connected, but not yet known to Squid
  local i
  for ((i = 0; i < 50; i++)); do
    ss --no-header --listening --tcp --numeric | awk -v ports=",$ports," '
      { port = $4; sub(/.*:/, "", port) } index(ports, "," port ",") && $2 > 0 { exit 1 }' && break
    sleep 0.02
  done
}

squid_release() {
  nft delete table inet cdktf_ha_hold 2>/dev/null
  systemctl stop cdktf-ha-squid-release.timer 2>/dev/null
  return 0
}

# Connections of clients that stand.
squid_clients() {
  local ports
  ports=$(awk '/^https?_port / && $2 !~ /^127/ { sub(/.*:/, "", $2); print $2 }' "$conf" | sort --unique | paste --serial --delimiters=,)
  ss --no-header --tcp --numeric state established | awk -v ports=",$ports," '
    { port = $3; sub(/.*:/, "", port) } index(ports, "," port ",") { count++ } END { print count + 0 }'
}

# squid_let_end MS: at most, until short requests have ended; a connection that is only kept open is given up
squid_let_end() {
  local until=$((${EPOCHREALTIME/[.,]/} + 1000 * $1))
  while [[ $(squid_clients) != 0 ]] && ((${EPOCHREALTIME/[.,]/} < until)); do sleep 0.05; done
}
