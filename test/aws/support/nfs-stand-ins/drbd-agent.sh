#!/bin/bash
# shellcheck disable=SC2154 # parameters come from Pacemaker
# A stand-in for ocf:linbit:drbd: what it tells Pacemaker, over the stand-in for drbdadm. Nothing is replicated.
state() { cat /run/stand-in/role 2>/dev/null; }
score() { crm_master --lifetime reboot "$@" 2>/dev/null || true; }
monitor() {
  case $(state) in
    Primary) return 8 ;;
    Secondary) return 0 ;;
    *) return 7 ;;
  esac
}
case $1 in
  start) drbdadm up "$OCF_RESKEY_drbd_resource" && score --update 10000 ;;
  stop) drbdadm down "$OCF_RESKEY_drbd_resource" && score --delete ;;
  promote)
    drbdadm primary "$OCF_RESKEY_drbd_resource" || exit 1
    # what DRBD would have brought over from the other node
    [[ -n $(blkid --probe --output value --match-tag TYPE /dev/drbd0) ]] || { mkfs.xfs -q /dev/drbd0 && drbdadm keep; }
    ;;
  demote) drbdadm secondary "$OCF_RESKEY_drbd_resource" ;;
  monitor)
    monitor
    status=$?
    [[ $status == 7 ]] || score --update 10000
    exit "$status"
    ;;
  notify | validate-all) ;;
  meta-data)
    cat <<'XML'
<?xml version="1.0"?>
<resource-agent name="drbd" version="1.0">
<version>1.0</version><longdesc lang="en">STAND-IN</longdesc><shortdesc lang="en">STAND-IN</shortdesc>
<parameters>
<parameter name="drbd_resource" required="1"><longdesc lang="en">-</longdesc><shortdesc lang="en">-</shortdesc><content type="string"/></parameter>
</parameters>
<actions><action name="start" timeout="240s"/><action name="promote" timeout="90s"/><action name="demote" timeout="90s"/><action name="notify" timeout="90s"/><action name="stop" timeout="120s"/><action name="monitor" timeout="60s" interval="10s"/><action name="meta-data" timeout="5s"/></actions>
</resource-agent>
XML
    ;;
  *) exit 3 ;;
esac
