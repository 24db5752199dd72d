#!/bin/bash
# Exports are added and taken away while the server runs; everything else of it is Pacemaker's.
# shellcheck source-path=SCRIPTDIR source=functions.sh
. /usr/local/lib/cdktf-ha/drbd-nfs/functions.sh

mkdir --parents /run/cdktf-ha-nfs # what exportfs reads, also as a server ends that the package has started
# The server's unit wants rpc.statd, which is of version 3 alone and sits in the state directory as well. Its clients are told by an agent of the pair's.
unwanted=(rpc-statd-notify.service nfs-blkmap.service rpc-gssd.service rpc-svcgssd.service)
of_version_3=(rpc-statd.service rpcbind.service rpcbind.socket)
if [[ $(nfsconf --get nfsd vers3) == y ]]; then
  if [[ $(systemctl is-enabled "${of_version_3[@]}" 2>/dev/null) == *masked* ]]; then
    systemctl unmask --quiet "${of_version_3[@]}"
  fi
  if ! systemctl is-enabled --quiet rpcbind.socket || ! systemctl is-active --quiet rpcbind.socket; then systemctl enable --quiet --now rpcbind.socket; fi
else
  unwanted+=("${of_version_3[@]}")
fi
# each such call makes systemd read all its units again
states=$(systemctl is-enabled "${unwanted[@]}" 2>/dev/null) || true
if grep -qvx masked <<<"$states"; then
  systemctl mask --quiet --now "${unwanted[@]}" 2>/dev/null
fi
export SYSTEMCTL_SKIP_SYSV=1 # the init script is of no use here, and takes long to be looked at
if systemctl is-enabled --quiet nfs-server.service; then systemctl disable --quiet nfs-server.service; fi
# the package starts them, with their files on this machine's own disk
if ! pair_is_managed; then
  systemctl stop nfs-server.service nfs-mountd.service nfs-idmapd.service nfsdcld.service
  if systemctl is-active --quiet rpc-statd.service; then systemctl stop rpc-statd.service; fi
fi
mkdir --parents "$PAIR_DIRECTORY"
if pair_serves && systemctl is-active --quiet nfs-server.service; then
  bash /usr/local/lib/cdktf-ha/drbd-nfs/directories.sh
  exportfs -ra
  bash /usr/local/lib/cdktf-ha/drbd-nfs/quotas.sh
fi
