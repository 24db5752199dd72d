#!/bin/bash
# ocf:cdktf-ha:moving-address: the address that clients mount from, where a cloud's API leads it to a machine. `claim` calls that
# API; where the machine has to see the address itself, `cidr_netmask` is there, and it is put on the interface.
set -u
claim=/usr/local/lib/cdktf-ha/drbd-nfs/claim
started=/run/cdktf-ha-nfs-address
address=${OCF_RESKEY_ip:-}
local=${OCF_RESKEY_cidr_netmask:+$address/$OCF_RESKEY_cidr_netmask}
read -r interface </etc/cdktf-ha/drbd-nfs-interface
SUCCESS=0 FAILED=1 UNKNOWN=3 STOPPED=7

note() { # PRIORITY TEXT
  logger --tag cdktf-ha-nfs --priority "daemon.$1" -- "${2//$'\n'/ }"
}

metadata() {
  cat <<'XML'
<?xml version="1.0"?>
<resource-agent name="moving-address" version="1.0">
<version>1.1</version>
<longdesc lang="en">An address that a cloud's API leads to the machine that serves.</longdesc>
<shortdesc lang="en">Moves an address by a cloud's API</shortdesc>
<parameters>
<parameter name="ip" unique-group="address" required="1">
<longdesc lang="en">The address.</longdesc><shortdesc lang="en">address</shortdesc><content type="string"/>
</parameter>
<parameter name="cidr_netmask" required="0">
<longdesc lang="en">Its prefix length, where it has to be on the machine's interface.</longdesc><shortdesc lang="en">prefix length</shortdesc><content type="string"/>
</parameter>
</parameters>
<actions>
<action name="start" timeout="240s"/>
<action name="stop" timeout="60s"/>
<action name="monitor" timeout="60s" interval="20s"/>
<action name="meta-data" timeout="5s"/>
<action name="validate-all" timeout="5s"/>
</actions>
</resource-agent>
XML
}

is_here() {
  [[ -e $started ]] || return 1
  [[ -z $local ]] || ip -oneline address show dev "$interface" to "$local" | grep . >/dev/null
}

# Until it is here, or the time is over: the API may be away, or too busy, and a right just given not known yet.
start() {
  local words left pause=1 end=$((SECONDS + ${OCF_RESKEY_CRM_meta_timeout:-60000} / 1000 - 5))
  : >"$started"
  [[ -z $local ]] || ip address replace "$local" dev "$interface" || return $FAILED
  while left=$((end - SECONDS)) && ((left > 0)); do
    if words=$(timeout $((left < 30 ? left : 30)) "$claim" take 2>&1); then
      note notice "$words"
      return $SUCCESS
    fi
    note err "$address is not here: $words (status $?)" # 124: no end in time
    sleep "$pause"
    ((pause < 8)) && pause=$((pause * 2))
  done
  return $FAILED
}

# Whoever takes it over tells the API: here it is enough that nobody is answered any more.
stop() {
  rm --force "$started"
  if [[ -n $local ]] && ip -oneline address show dev "$interface" to "$local" | grep . >/dev/null; then
    ip address delete "$local" dev "$interface" || return $FAILED
  fi
  return $SUCCESS
}

# The API is asked only while the address is here, and not when Pacemaker looks what is where. An API that does not answer moves
# no address away: to stop the service for that would make an outage of it.
monitor() {
  local words status=0
  is_here || return $STOPPED
  ((${OCF_RESKEY_CRM_meta_interval:-0} > 0)) || return $SUCCESS
  words=$(timeout 20 "$claim" verify 2>&1) || status=$?
  if ((status)); then
    note err "$address cannot be looked after: $words (status $status)"
  elif [[ -n $words ]]; then
    note warning "$words again: somebody had led it elsewhere"
  fi
  return $SUCCESS
}

case ${1:-} in
  meta-data) metadata ;;
  start) start ;;
  stop) stop ;;
  monitor) monitor ;;
  validate-all) [[ -n $address && -x $claim ]] ;;
  *) exit "$UNKNOWN" ;;
esac
