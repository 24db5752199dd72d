#!/bin/bash
# The pair has left the code: the machine's NFS server is its own again, and stopped.
systemctl disable --quiet --now nfs-server.service
systemctl stop nfsdcld.service
systemctl unmask --quiet rpc-statd.service rpc-statd-notify.service rpcbind.service rpcbind.socket \
  nfs-blkmap.service rpc-gssd.service rpc-svcgssd.service
# the name that version 3 needs
if grep --quiet ' cdktf-ha-nfs$' /etc/hosts; then sed --in-place '/ cdktf-ha-nfs$/d' /etc/hosts; fi
