#!/bin/sh
# nfsserver {start|stop|status}: the agent that Pacemaker has, for a line of haresources.
# shellcheck source=/dev/null
. /etc/cdktf-ha/drbd-nfs
# shellcheck source=/dev/null
. /etc/ha.d/resource.d/hto-mapfuncs
OCF_TYPE=nfsserver
OCF_RESOURCE_INSTANCE=nfsserver
OCF_RESKEY_nfs_shared_infodir=$PAIR_STATE
OCF_RESKEY_nfsv4_only=true
OCF_RESKEY_rpcpipefs_dir=/run/rpc_pipefs
export OCF_TYPE OCF_RESOURCE_INSTANCE OCF_RESKEY_nfs_shared_infodir OCF_RESKEY_nfsv4_only OCF_RESKEY_rpcpipefs_dir
usage() { echo "usage: $0 {start|stop|status}"; }
ra_execocf "$1"
