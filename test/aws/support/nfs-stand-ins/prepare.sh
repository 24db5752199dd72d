#!/bin/bash
# prepare.sh ROOT: in a container, which has neither DRBD nor the kernel's NFS server, stand-ins for these two, so that everything
# else of a pair can be real. Nothing is replicated and nobody speaks NFS here: that is shown on virtual machines. Whatever a
# stand-in does, it says so in the journal (journalctl -t STAND-IN).
set -euo pipefail
root=$1
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
install --mode=755 "$here/drbdadm.sh" "$root/usr/sbin/drbdadm"
install --mode=755 "$here/drbd-agent.sh" "$root/usr/lib/ocf/resource.d/linbit/drbd"
install --mode=755 "$here/rpc-nfsd.sh" "$root/usr/sbin/rpc.nfsd"
# processes with the names that the kernel's threads and the server's daemons have
install --mode=755 "$root/usr/bin/socat" "$root/usr/local/bin/nfsd"
for daemon in rpc.mountd nfsdcld; do install --mode=755 "$root/usr/bin/sleep" "$root/usr/local/bin/$daemon"; done
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
# the package's own want file systems of the kernel's; what the pair adds to the server's is added to this one
for daemon in nfs-mountd:rpc.mountd nfsdcld:nfsdcld; do
  unit=${daemon%:*} program=${daemon#*:}
  cat >"$root/etc/systemd/system/$unit.service" <<UNIT
[Unit]
Description=STAND-IN for $program
$([[ $unit != nfs-mountd ]] || echo BindsTo=nfs-server.service)
[Service]
Type=exec
ExecStart=/usr/local/bin/$program infinity
UNIT
done
cat >"$root/etc/systemd/system/nfs-server.service" <<'UNIT'
[Unit]
Description=STAND-IN for the NFS server
Requires=nfs-mountd.service
After=nfs-mountd.service nfsdcld.service
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/usr/sbin/rpc.nfsd
[Install]
WantedBy=multi-user.target
UNIT
