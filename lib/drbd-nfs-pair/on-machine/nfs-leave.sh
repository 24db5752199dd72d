#!/bin/bash
# The pair has left the code: the machine's NFS server is its own again, and stopped.
systemctl disable --quiet --now nfs-server.service
systemctl unmask --quiet rpc-statd.service rpc-statd-notify.service rpcbind.service rpcbind.socket \
  nfs-blkmap.service rpc-gssd.service rpc-svcgssd.service
if dpkg-statoverride --list /etc/init.d/nfs-kernel-server >/dev/null; then
  dpkg-statoverride --quiet --remove /etc/init.d/nfs-kernel-server
  chmod 0755 /etc/init.d/nfs-kernel-server
fi
