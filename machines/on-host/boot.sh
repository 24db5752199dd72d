#!/usr/bin/env bash
# boot.sh: one power-on of one machine. Started by machine.ts as `unshare --mount --net boot.sh`: the mounts and
# the network namespace are anonymous and vanish with the machine. Becomes systemd-nspawn, whose child is the
# machine's init.
#   MACHINE, MACHINE_HOSTNAME   its name in the lab and its own
#   GATEWAY                     its default route
#   CABLES                      a line for each interface, eth0, eth1, ...: its address with prefix length, its MAC, and where
#                               its cable ends in the lab's namespace, port and bridge
#   DIRECTORY                   holds disk/ (the tmpfs of the overlay's upper layer) and root/ (mount point)
#   LAYERS                      lower layers of the root file system, topmost first, separated by ":"
#   PUBLIC_KEY                  the file that becomes authorized_keys
#   DISKS                       nspawn's options that bind block devices
#   PREPARE                     a program that is run on the root file system before the first boot, or empty
set -euo pipefail
umask 022
# shellcheck source-path=SCRIPTDIR source=cgroups.sh
. "$(dirname "$0")/cgroups.sh"

root=${DIRECTORY:?}/root
disk=$DIRECTORY/disk

mount_root() {
  mkdir -p "$disk/upper" "$disk/work" "$root"
  mount -t overlay "$MACHINE" "$root" -o "lowerdir=$LAYERS,upperdir=$disk/upper,workdir=$disk/work"
}

# What an installer or cloud-init would have written: name, keys. Only at the first boot.
personalise() {
  local home
  [[ ! -e $disk/personalised ]] || return 0
  echo "$MACHINE_HOSTNAME" >"$root/etc/hostname"
  cat >"$root/etc/hosts" <<HOSTS
127.0.0.1	localhost
127.0.1.1	$MACHINE_HOSTNAME
::1		localhost ip6-localhost ip6-loopback
ff02::1		ip6-allnodes
ff02::2		ip6-allrouters
HOSTS
  for home in root home/admin home/nosudo; do
    install -d -m 700 "$root/$home/.ssh"
    install -m 600 "$PUBLIC_KEY" "$root/$home/.ssh/authorized_keys"
    chown --recursive --reference="$root/$home" "$root/$home/.ssh"
  done
  ssh-keygen -q -t ed25519 -N '' -C "root@$MACHINE_HOSTNAME" -f "$root/etc/ssh/ssh_host_ed25519_key"
  [[ -z ${PREPARE:-} ]] || "$PREPARE" "$root"
  : >"$disk/personalised"
}

join_cgroup() {
  cgroup_remove "$HA_LAB/$MACHINE" # of the last power-on
  cgroup_enter "$HA_LAB/$MACHINE"
}

# The cables: eth0, eth1, ... here, their ports in the namespace of process 1, which is the lab's.
connect() {
  local address mac port bridge number=0
  ip link set lo up
  while read -r address mac port bridge; do
    # The last power-on's cable goes with its namespace, but later, in the background.
    nsenter --net=/proc/1/ns/net ip link delete "$port" 2>/dev/null || true
    ip -batch - <<IP
link add eth$number address $mac type veth peer name $port netns 1
address add $address broadcast + dev eth$number
link set eth$number up
IP
    nsenter --net=/proc/1/ns/net ip link set "$port" master "$bridge" up
    number=$((number + 1))
  done <<<"${CABLES%$'\n'}"
  ip route add default via "$GATEWAY"
}

mount_root
personalise
join_cgroup
connect
# --register=no --keep-unit: there is no systemd on the lab's side. --network-namespace-path: keep this namespace.
# CAP_NET_ADMIN and the variable: it is the machine's own, with a writable /proc/sys/net. CAP_IPC_LOCK: databases
# lock memory.
export SYSTEMD_NSPAWN_API_VFS_WRITABLE=network
read -ra disks <<<"${DISKS:-}"
exec systemd-nspawn --quiet --register=no --keep-unit --settings=no --boot \
  --directory="$root" --machine="$MACHINE" --hostname="$MACHINE_HOSTNAME" \
  --network-namespace-path=/proc/self/ns/net --capability=CAP_NET_ADMIN,CAP_IPC_LOCK \
  --resolv-conf=off --timezone=off --link-journal=no --console=pipe "${disks[@]}" \
  systemd.show_status=error
