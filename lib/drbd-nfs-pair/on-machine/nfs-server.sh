#!/bin/bash
# ocf:cdktf-ha:nfs-server: the kernel's NFS server; what it knows of its clients is in `state`, on the volume that
# moves. resource-agents has one for every version and every system; it asks systemd some fifteen times for a start and a stop, half of
# the pause of a switchover.
set -u
export SYSTEMCTL_SKIP_SYSV=1 # the package's init script is of no use here, and takes long to be looked at
state=${OCF_RESKEY_state:-}
place=/var/lib/nfs
offered=/run/cdktf-ha-nfs # what it exports: not on the volume, which may be full
writing=$offered/writing # of the write under way, which has it locked: when it began, when the disk last did anything, how much it had done
refused=$offered/refused # of those that were refused since one was done: why
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
<parameter name="write_within">
<longdesc lang="en">Seconds, of the monitor of depth 10: a write to the volume that has not ended by then is a failure, if the disk has done nothing for as long and the other node could take over.</longdesc><shortdesc lang="en">seconds</shortdesc><content type="integer" default="120"/>
</parameter>
<parameter name="drbd_minor">
<longdesc lang="en">Number of the volume's device, of the monitor of depth 10.</longdesc><shortdesc lang="en">number</shortdesc><content type="integer" default="0"/>
</parameter>
</parameters>
<actions>
<action name="start" timeout="60s"/>
<action name="stop" timeout="60s"/>
<action name="monitor" timeout="60s" interval="20s"/>
<action name="monitor" depth="10" timeout="240s" interval="30s"/>
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
  rm --force "$writing" "$refused"
  # where clients have filled the volume there is room for noting who has locks; nfs-clients keeps it
  mkdir --parents "$state/room" && find "$state/room" -type f -size +0 -delete -quit
  [[ -s $state/writable ]] || head --bytes 4096 /dev/zero >"$state/writable"
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

# Overwrites the same block, past the cache: on a volume that is full as well.
write() {
  local words
  if words=$(LC_ALL=C dd if=/dev/zero of="$state/writable" bs=4096 count=1 conv=notrunc oflag=direct 2>&1); then
    rm --force "$refused"
    return
  fi
  case $words in
    # a disk that has failed, a file system that has stopped itself
    *'Input/output error'* | *'Read-only file system'* | *'Structure needs cleaning'*) echo "${words%%$'\n'*}" >>"$refused" ;;
  esac
}

# The monitor of depth 10, which has the node switched off. A disk that hangs tells nobody, a stop of the server would wait for it as its clients do, and
# a process that does so cannot be ended: so nobody waits for the write.
takes_writes() {
  local now began moved did before words drbd within=${OCF_RESKEY_write_within:-120} patience=5
  drbd=$(sed --quiet "/^ *${OCF_RESKEY_drbd_minor:-0}: /,/ oos:/p" /proc/drbd 2>/dev/null)
  # where nobody could take over a reboot may still help, later
  if [[ -z $drbd || $drbd =~ \ ds:[^/\ ]+/UpToDate\  ]]; then patience=1; fi
  [[ $drbd =~ \ dw:([0-9]+) ]] && did=${BASH_REMATCH[1]}
  read -r now _ </proc/uptime
  now=${now%.*}
  exec 9>>"$writing"
  if ! flock --nonblock 9; then
    read -r began moved before <"$writing" || began=$now moved=$now
    # DRBD holds writes itself while it waits for the other node's fate
    if [[ $drbd =~ \ ds:[^\ ]+\ [ABC\ ]\ s ]]; then began=$now moved=$now; fi
    # a disk that answers slowly does answer, and would not be any faster elsewhere; though it may hang in one part
    if [[ ${did:-} != "${before:-}" ]]; then moved=$now; fi
    echo "$began $moved ${did:-}" >"$writing"
    ((now - began < 5 * within && now - moved < patience * within)) || fail "no write to the volume has ended for $((now - began)) s"
    return
  fi
  echo "$now $now ${did:-}" >"$writing"
  words=$(cat "$refused" 2>/dev/null)
  write >/dev/null 2>&1 </dev/null & # and has it locked
  (($(wc --lines <<<"$words") < 2 * patience)) || fail "the volume takes no writes: ${words##*$'\n'}"
}

# Half of a server is a failure, not a stopped one: what is there has to go first.
monitor() {
  # of the volume alone, since the node is switched off for it: the other monitor sees to the rest
  if ((${OCF_CHECK_LEVEL:-0} >= 10)); then
    if serves && is_there; then takes_writes; fi
    return
  fi
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
