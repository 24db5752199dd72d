#!/bin/bash
# A stand-in for the kernel's NFS server: on its port it tells which machine this is.
logger --tag STAND-IN -- "rpc.nfsd: port 2049 tells this machine's name, and is no NFS server"
setsid nfsd TCP-LISTEN:2049,fork,reuseaddr SYSTEM:'cat /etc/hostname' </dev/null >/dev/null 2>&1 &
# the kernel's are there when rpc.nfsd ends
for _ in {1..100}; do
  pgrep --exact nfsd >/dev/null && exit
  sleep 0.1
done
exit 1
