#!/bin/bash
# ocf:cdktf-ha:nfs-server: the kernel's NFS server, version 4 alone; what it knows of its clients is in `state`, on the volume that
# moves. resource-agents has one for every version and every system; it asks systemd some fifteen times for a start and a stop, half of
# the pause of a switchover.
set -u
export SYSTEMCTL_SKIP_SYSV=1 # the package's init script is of no use here, and takes long to be looked at
state=${OCF_RESKEY_state:-}
place=/var/lib/nfs
# the server's threads are the kernel's; who answers it for clients that are new, and who remembers them
daemons=(nfsd rpc.mountd nfsdcld)
units=(nfs-server.service nfs-mountd.service nfs-idmapd.service nfsdcld.service)
SUCCESS=0 FAILED=1 UNKNOWN=3 STOPPED=7

note() { logger --tag cdktf-ha-nfs --priority daemon.err -- "$*"; }

metadata() {
  cat <<'XML'
<?xml version="1.0"?>
<resource-agent name="nfs-server" version="1.0">
<version>1.1</version>
<longdesc lang="en">The kernel's NFS server, version 4 alone, whose knowledge of its clients moves with a volume.</longdesc>
<shortdesc lang="en">NFS server, version 4</shortdesc>
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

# Of the daemons, those that run.
running() {
  local daemon
  for daemon in "${daemons[@]}"; do
    if pgrep --exact "$daemon" >/dev/null; then printf '%s ' "$daemon"; fi
  done
}

start() {
  monitor && return $SUCCESS
  # what was started with the package, or is left of another time, has its files elsewhere
  if is_there || [[ -n $(running) ]]; then stop || return $FAILED; fi
  mkdir --parents "$state/nfsdcld" "$state/v4recovery" &&
    chmod 0700 "$state/nfsdcld" "$state/v4recovery" &&
    touch "$state/etab" "$state/rmtab" &&
    mount --bind "$state" "$place" || return $FAILED
  local words
  if ! words=$(systemctl start nfs-server.service nfsdcld.service 2>&1); then
    note "does not start: ${words//$'\n'/ }"
    return $FAILED
  fi
  monitor
}

stop() {
  local words
  if ! words=$(systemctl stop "${units[@]}" 2>&1); then
    note "does not stop: ${words//$'\n'/ }"
    return $FAILED
  fi
  # somebody started it by hand
  if [[ $(running) == *"nfsd "* ]]; then rpc.nfsd 0 || return $FAILED; fi
  while is_there; do umount "$place" || return $FAILED; done
  return $SUCCESS
}

# Half of a server is a failure, not a stopped one: what is there has to go first.
monitor() {
  local found
  found=$(running)
  if [[ -z $found ]] && ! is_there; then return $STOPPED; fi
  if [[ $found == "${daemons[*]} " ]] && is_there; then return $SUCCESS; fi
  # a probe finds what the package has started
  [[ ${1:-} != told ]] || note "of ${daemons[*]} there runs '${found% }'$(is_there || echo ", and $place is not $state")"
  return $FAILED
}

case ${1:-} in
  meta-data) metadata ;;
  start) start ;;
  stop) stop ;;
  monitor) monitor told ;;
  validate-all) [[ -n $state ]] ;;
  *) exit "$UNKNOWN" ;;
esac
