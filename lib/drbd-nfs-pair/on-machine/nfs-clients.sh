#!/bin/bash
# ocf:cdktf-ha:nfs-clients: tells the NFS server's clients that it has moved, once its address `ip` is here.
# - A client that waits for an answer sends again after twice as long each time: after 7 s of silence it would wait for 6 more. A packet of the
#   connection that it still has makes it ask, and be refused, and connect anew. Who had one is noted in `state`, on the volume that moves.
#   With an address of IPv6 nobody is told so: the checksums of tickle_tcp are wrong there (resource-agents 4.12).
# - One of version 3 claims its locks again when it is told that the server was started anew: once for each start, by this address, from which it
#   has mounted. A server that was not started anew would refuse it, and the lock would be gone.
# Whatever fails here costs some seconds, and must stop nothing.
set -u
PATH=$PATH:/usr/libexec/heartbeat:/usr/lib/heartbeat # tickle_tcp, of resource-agents
ip=${OCF_RESKEY_ip:-}
connections=${OCF_RESKEY_state:-}/connections
room=${OCF_RESKEY_state:-}/room
running=/run/cdktf-ha-nfs-clients
anew=/run/cdktf-ha-nfs/started-anew # by the server's agent
name=cdktf-ha-nfs
SUCCESS=0 UNKNOWN=3 STOPPED=7

note() { logger --tag cdktf-ha-nfs -- "${1//$'\n'/ }"; }

metadata() {
  cat <<'XML'
<?xml version="1.0"?>
<resource-agent name="nfs-clients" version="1.0">
<version>1.1</version>
<longdesc lang="en">Tells the clients of an NFS server that it has moved.</longdesc>
<shortdesc lang="en">clients of an NFS server</shortdesc>
<parameters>
<parameter name="ip" unique-group="ip" required="1">
<longdesc lang="en">The address that clients connect to.</longdesc><shortdesc lang="en">address</shortdesc><content type="string"/>
</parameter>
<parameter name="state" required="1">
<longdesc lang="en">Directory on the volume that moves.</longdesc><shortdesc lang="en">directory</shortdesc><content type="string"/>
</parameter>
</parameters>
<actions>
<action name="start" timeout="60s"/>
<action name="stop" timeout="20s"/>
<action name="monitor" timeout="60s" interval="10s"/>
<action name="meta-data" timeout="5s"/>
<action name="validate-all" timeout="5s"/>
</actions>
</resource-agent>
XML
}

# One at a time, and waited for by nobody: a volume that is frozen answers nobody.
aside() {
  (flock --nonblock 9 && "$@") 9>"$running.$1" >/dev/null 2>&1 </dev/null &
}

note_connections() {
  local now host=$ip
  [[ $ip != *:* ]] || host="[$ip]"
  now=$(ss --no-header --numeric --tcp state established "src $host and sport = :2049" | awk '{ print $3, $4 }' | tr --delete '[]' | sort)
  [[ $now != "$(cat "$connections" 2>/dev/null)" ]] || return 0
  # read after a power cut
  printf '%s\n' "$now" >"$connections.new" && sync "$connections.new" && mv "$connections.new" "$connections"
}

# Clients may fill the volume: for each of the next eight starts there is 1 MiB, so that notes can be made. Taken again where there is more than that.
keep_room() {
  local number available size
  for number in {1..8}; do
    [[ ! -s $room/$number ]] || continue
    read -r available size < <(stat --file-system --format '%a %S' "$room")
    ((available * size >= 16 << 20)) && fallocate --length 1MiB "$room/$number" || return
  done
}

tickle() { tickle_tcp -n 3 <"$connections"; }

# Goes on trying in the background. It takes no address that has no name.
notify() {
  local apart=()
  # a process of Heartbeat's unit, it would be taken for a Heartbeat that lives
  [[ ! -d /run/systemd/system ]] || apart=(systemd-run --quiet --scope --collect)
  grep --quiet --line-regexp --fixed-strings "$ip $name" /etc/hosts || {
    sed --in-place -e "/ $name\$/d" -e "\$a\\" /etc/hosts # and the last line is a whole one
    printf '%s\n' "$ip $name" >>/etc/hosts
  }
  find "$room" -type f -size +0 -delete -quit
  "${apart[@]}" sm-notify -f -v "$name" -P "$OCF_RESKEY_state/notify" 9>&- || note "clients of version 3 cannot be told that the server has moved"
}

start() {
  touch "$running"
  if [[ -s $connections ]]; then aside tickle; fi
  if rm "$anew" 2>/dev/null; then aside notify; fi
  return $SUCCESS
}

stop() {
  # for whoever takes over now
  aside note_connections
  timeout 3 tail --pid=$! --sleep-interval=0.1 -f /dev/null
  rm --force "$running"
  # it would keep the volume from being unmounted
  pkill --exact sm-notify
  return $SUCCESS
}

monitor() {
  [[ -e $running ]] || return $STOPPED
  aside note_connections
  aside keep_room
  return $SUCCESS
}

case ${1:-} in
  meta-data) metadata ;;
  start) start ;;
  stop) stop ;;
  monitor) monitor ;;
  validate-all) [[ -n $ip && -n ${OCF_RESKEY_state:-} ]] ;;
  *) exit "$UNKNOWN" ;;
esac
