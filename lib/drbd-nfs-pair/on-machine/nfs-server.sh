#!/bin/bash
# ocf:cdktf-ha:nfs-server: the kernel's NFS server; what it knows of its clients is in `state`, on the volume that
# moves. resource-agents has one for every version and every system; it asks systemd some fifteen times for a start and a stop, half of
# the pause of a switchover.
set -u
export SYSTEMCTL_SKIP_SYSV=1 # the package's init script is of no use here, and takes long to be looked at
state=${OCF_RESKEY_state:-}
place=/var/lib/nfs
offered=/run/cdktf-ha-nfs # what it exports: not on the volume, which may be full
units=(nfs-server.service nfs-mountd.service nfs-idmapd.service nfsdcld.service)
SUCCESS=0 FAILED=1 UNKNOWN=3 STOPPED=7

note() { logger --tag cdktf-ha-nfs --priority daemon.err -- "${1//$'\n'/ }"; }
# For crm_mon too.
fail() {
  note "$1"
  echo "ocf-exit-reason:${1//$'\n'/ }" >&2
  return $FAILED
}

metadata() {
  cat <<'XML'
<?xml version="1.0"?>
<resource-agent name="nfs-server" version="1.0">
<version>1.1</version>
<longdesc lang="en">The kernel's NFS server, whose knowledge of its clients moves with a volume.</longdesc>
<shortdesc lang="en">NFS server</shortdesc>
<parameters>
<parameter name="state" unique-group="state" required="1">
<longdesc lang="en">Directory for what the server knows of its clients.</longdesc><shortdesc lang="en">directory</shortdesc><content type="string"/>
</parameter>
</parameters>
<actions>
<action name="start" timeout="60s"/>
<action name="stop" timeout="60s"/>
<action name="monitor" timeout="60s" interval="20s"/>
<action name="meta-data" timeout="5s"/>
<action name="validate-all" timeout="5s"/>
</actions>
</resource-agent>
XML
}

is_there() { mountpoint --quiet "$place"; }
runs() { pgrep --exact "$1" >/dev/null; }
serves() { runs nfsd; } # threads of the kernel's
answers() { runs rpc.mountd; } # whether a client that is new may come in
remembers() { runs nfsdcld; } # who has locks, for the node that takes over
remembers_version_3() { runs rpc.statd; } # the same, of version 3
serves_version_3() { [[ $(nfsconf --get nfsd vers3) == y ]]; }

start() {
  local words
  if serves && answers && is_there; then return $SUCCESS; fi
  # what was started with the package, or is left of another time, has its files elsewhere
  if is_there || serves || answers || remembers || remembers_version_3; then stop || return $FAILED; fi
  mkdir --parents "$offered" && touch "$offered/etab" "$offered/rmtab" || fail "$offered cannot be written to" || return
  # where clients have filled the volume there is room for noting who has locks; nfs-clients keeps it
  mkdir --parents "$state/room" && find "$state/room" -type f -size +0 -delete -quit
  mkdir --parents "$state/nfsdcld" "$state/v4recovery" &&
    chmod 0700 "$state/nfsdcld" "$state/v4recovery" || fail "$state cannot be written to" || return
  if serves_version_3; then
    # rpc.statd and sm-notify become whom these belong to, whose number is another one on the other node; and nothing else may be theirs
    mkdir --parents "$state"/{,notify/}{sm,sm.bak} && chmod 0711 "$state" "$state/notify" &&
      chown --recursive statd:nogroup "$state"/{,notify/}{sm,sm.bak} ||
      fail "$state cannot be given to statd" || return
    # who could not be told for longer than sm-notify tries is gone, and would make everybody wait for the whole grace
    find "$state/notify/sm.bak" -type f -cmin +20 -delete
    # whom nfs-clients tells that the server was started anew: who had locks until now
    find "$state/sm" -type f -exec mv --target-directory "$state/notify/sm" {} + && touch "$offered/started-anew" ||
      fail "$state has notes of clients that cannot be moved" || return
  fi
  mount --bind "$state" "$place" || fail "$state cannot be mounted at $place" || return
  words=$(systemctl start nfs-server.service 2>&1) || fail "does not start: $words" || return
  if ! serves || ! answers; then fail "does not run, though systemd has started it"; fi
}

stop() {
  local words until
  if remembers_version_3; then units+=(rpc-statd.service); fi
  words=$(systemctl stop "${units[@]}" 2>&1) || fail "does not stop: $words" || return
  # somebody started it by hand
  if serves; then rpc.nfsd 0 || fail "its threads do not end" || return; fi
  pkill --exact sm-notify # it stays on the volume while it waits for clients
  until=$((SECONDS + 10))
  while is_there; do
    umount "$place" 2>/dev/null && continue
    # somebody asks it something: exportfs, for a moment
    ((SECONDS < until)) || fail "$place cannot be unmounted" || return
    sleep 0.5
  done
  return $SUCCESS
}

# Without it those who have locks are served, and lose them at the next failover.
keep_running() { # DAEMON UNIT
  ! runs "$1" || return 0
  note "$1 does not run: it is started"
  systemctl start "$2" || note "$1 does not start"
}

# Half of a server is a failure, not a stopped one: what is there has to go first.
monitor() {
  if ! serves && ! is_there; then return $STOPPED; fi
  serves || fail "no thread of the server is left" || return
  is_there || fail "$place is not $state: the server was started by somebody else" || return
  answers || fail "rpc.mountd has ended" || return
  if ((${OCF_RESKEY_CRM_meta_interval:-0} > 0)); then
    keep_running nfsdcld nfsdcld.service
    if serves_version_3; then keep_running rpc.statd rpc-statd.service; fi
  fi
  return $SUCCESS
}

case ${1:-} in
  meta-data) metadata ;;
  start) start ;;
  stop) stop ;;
  monitor) monitor ;;
  validate-all) [[ -n $state ]] ;;
  *) exit "$UNKNOWN" ;;
esac
