#!/bin/bash
# A stand-in for ocf:heartbeat:nfsserver: the unit, without what it does to the kernel's file systems.
case $1 in
  start) systemctl start nfs-server.service || exit 1 ;;
  stop) systemctl stop nfs-server.service || exit 1 ;;
  monitor) systemctl is-active --quiet nfs-server.service || exit 7 ;;
  validate-all) ;;
  meta-data)
    cat <<'XML'
<?xml version="1.0"?>
<resource-agent name="nfsserver" version="1.0">
<version>1.0</version><longdesc lang="en">STAND-IN</longdesc><shortdesc lang="en">STAND-IN</shortdesc>
<parameters>
<parameter name="nfs_shared_infodir"><longdesc lang="en">-</longdesc><shortdesc lang="en">-</shortdesc><content type="string"/></parameter>
<parameter name="nfsv4_only"><longdesc lang="en">-</longdesc><shortdesc lang="en">-</shortdesc><content type="string"/></parameter>
<parameter name="rpcpipefs_dir"><longdesc lang="en">-</longdesc><shortdesc lang="en">-</shortdesc><content type="string"/></parameter>
</parameters>
<actions><action name="start" timeout="60s"/><action name="stop" timeout="60s"/><action name="monitor" timeout="60s" interval="20s"/><action name="meta-data" timeout="5s"/></actions>
</resource-agent>
XML
    ;;
  *) exit 3 ;;
esac
