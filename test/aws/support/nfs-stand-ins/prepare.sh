#!/bin/bash
# prepare.sh ROOT: in a container, which has neither DRBD nor the kernel's NFS server, stand-ins for these two, so that everything
# else of a pair can be real. Nothing is replicated and nobody speaks NFS here: that is shown on virtual machines. Whatever a
# stand-in does, it says so in the journal (journalctl -t STAND-IN).
set -euo pipefail
root=$1
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
install --mode=755 "$here/drbdadm.sh" "$root/usr/sbin/drbdadm"
install --mode=755 "$here/drbd-agent.sh" "$root/usr/lib/ocf/resource.d/linbit/drbd"
install --mode=755 "$here/nfsserver-agent.sh" "$root/usr/lib/ocf/resource.d/heartbeat/nfsserver"
install --mode=755 "$here/rpc-nfsd.sh" "$root/usr/sbin/rpc.nfsd"
rm "$root/usr/sbin/modprobe"
install --mode=755 /dev/stdin "$root/usr/sbin/modprobe" <<'MODPROBE'
#!/bin/bash
[[ $1 == drbd ]] && logger --tag STAND-IN -- "no module drbd is loaded"
MODPROBE
install --mode=755 /dev/stdin "$root/usr/sbin/exportfs" <<'EXPORTFS'
#!/bin/bash
# exportfs -s lists what the files say; offering it is nothing here
[[ $* != -s ]] || cat /etc/exports.d/*.exports
EXPORTFS
# the package's own wants file systems of the kernel's; what the pair adds to it is added to this one
cat >"$root/etc/systemd/system/nfs-server.service" <<'UNIT'
[Unit]
Description=STAND-IN for the NFS server
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/usr/sbin/rpc.nfsd
[Install]
WantedBy=multi-user.target
UNIT
