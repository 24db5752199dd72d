#!/bin/busybox sh
# shellcheck shell=dash
# /init of the virtual machines' initrd: brings the root disk and the network up, as boot.sh does for a container, and hands
# over to systemd. What this machine is like comes on the kernel's command line:
#   lab.hostname=NAME   lab.gateway=ADDRESS   lab.key=BASE64, of the operator's ed25519 key
#   lab.addresses=ADDRESS/PREFIX[,...]   of eth0, eth1, ...
set -u
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
while read -r module; do insmod "/modules/$module" 2>/dev/null; done </modules/order

read -r words </proc/cmdline
for word in $words; do
  case $word in
    lab.probe) echo "the kernel is up" >/dev/console && poweroff -f ;;
    lab.hostname=*) hostname=${word#*=} ;;
    lab.gateway=*) gateway=${word#*=} ;;
    lab.key=*) key=${word#*=} ;;
    lab.addresses=*) addresses=${word#*=} ;;
  esac
done

tries=0
until [ -b /dev/vda ] || [ "$tries" -ge 300 ]; do
  sleep 0.1
  tries=$((tries + 1))
done
mount -t ext4 -o noatime /dev/vda /root || {
  echo "no root disk" >/dev/console
  poweroff -f
}

# What an installer or cloud-init would have written, as in boot.sh. Only at the first boot; the file says that it is whole.
if [ ! -e /root/etc/.personalised ]; then
  echo "$hostname" >/root/etc/hostname
  cat >/root/etc/hosts <<HOSTS
127.0.0.1	localhost
127.0.1.1	$hostname
::1		localhost ip6-localhost ip6-loopback
ff02::1		ip6-allnodes
ff02::2		ip6-allrouters
HOSTS
  for home in root home/admin home/nosudo; do
    mkdir -p "/root/$home/.ssh"
    echo "ssh-ed25519 $key operator" >"/root/$home/.ssh/authorized_keys"
    chmod 600 "/root/$home/.ssh/authorized_keys"
    chmod 700 "/root/$home/.ssh"
    chown -R "$(stat -c %u:%g "/root/$home")" "/root/$home/.ssh"
  done
  rm -f /root/etc/ssh/ssh_host_*
  mount --bind /dev /root/dev # randomness
  chroot /root ssh-keygen -q -t ed25519 -N '' -C "root@$hostname" -f /etc/ssh/ssh_host_ed25519_key
  umount /root/dev
  sync
  : >/root/etc/.personalised
fi

ip link set lo up
number=0
for address in $(echo "$addresses" | tr , ' '); do
  ip address add "$address" broadcast + dev "eth$number"
  ip link set "eth$number" up
  number=$((number + 1))
done
ip route add default via "$gateway"

for directory in proc sys dev; do mount --move "/$directory" "/root/$directory"; done
exec switch_root /root /sbin/init
