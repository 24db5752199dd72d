#!/usr/bin/env bash
# vm-image.sh ROOT KERNEL OUT: makes the image of the virtual machines from a root file system, which it changes, and a kernel's
# .deb: OUT/vmlinuz, OUT/initrd, and OUT/root.ext4, which is what each machine's disk is based on.
# A plain ext4 and not an overlay as in the containers: the NFS server cannot export from an overlay.
set -euo pipefail
root=$1 kernel=$2 out=$3
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

deb=/kernel # in the root file system, whose programs are used
dpkg-deb --extract "$kernel" "$root$deb"
version=$(basename "$root$deb"/lib/modules/*)
modules=lib/modules/$version
cp "$root$deb/boot/vmlinuz-$version" "$out/vmlinuz"
chroot "$root" depmod --basedir "$deb" "$version"

# with_needs MODULE...: the files of these modules, and of all that they need, below $modules, in the order in which they load
with_needs() {
  local module
  for module in "$@"; do
    chroot "$root" modprobe --dirname "$deb" --set-version "$version" --ignore-install --show-depends "$module"
  done | awk -v prefix="$deb/$modules/" '$1 == "insmod" && !seen[$2]++ { sub(prefix, "", $2); print $2 }'
}

# --- the initrd: what it takes to reach the root disk and the network
boot=(virtio_pci virtio_blk virtio_net virtio_rng crc32c_generic ext4 button evdev) # a shutdown is asked for by the button
initrd=$root/initrd
mkdir -p "$initrd"/{bin,dev,modules,proc,root,sys}
cp "$root/bin/busybox" "$initrd/bin/busybox"
cp "$here/vm-init.sh" "$initrd/init"
chmod 755 "$initrd/init"
with_needs "${boot[@]}" | while read -r file; do
  cp "$root$deb/$modules/$file" "$initrd/modules/"
  basename "$file" >>"$initrd/modules/order"
done
(cd "$initrd" && find . | "$root/bin/busybox" cpio -o -H newc | gzip -1) >"$out/initrd"

# --- the disk: of the modules, those that have no hardware behind them, and of the drivers a virtual machine's
drivers=("${boot[@]}" drbd loop nbd dm-mod dm-snapshot softdog dummy veth tun bonding macvlan qemu_fw_cfg)
mkdir -p "$root/usr/$modules/kernel"
for directory in "$root$deb/$modules"/kernel/*/; do
  case $(basename "$directory") in
    drivers | sound | virt) ;;
    *) cp --recursive "$directory" "$root/usr/$modules/kernel/" ;;
  esac
done
with_needs "${drivers[@]}" | while read -r file; do
  install -D --mode=644 "$root$deb/$modules/$file" "$root/usr/$modules/$file"
done
cp "$root$deb/$modules"/modules.{builtin,builtin.modinfo,order} "$root/usr/$modules/"
chroot "$root" depmod "$version"
rm -r "${root:?}$deb" "$initrd"
# The console is a file: nobody logs in there. The others cost seconds of translated code and serve nothing here.
for unit in serial-getty@ttyS0.service systemd-binfmt.service proc-sys-fs-binfmt_misc.automount dev-hugepages.mount \
  dev-mqueue.mount sys-fs-fuse-connections.mount sys-kernel-config.mount systemd-random-seed.service \
  modprobe@{configfs,dm_mod,drm,efi_pstore,fuse,loop}.service systemd-{hwdb-update,pstore,sysusers}.service \
  systemd-update-utmp.service systemd-update-utmp-runlevel.service; do
  ln -sf /dev/null "$root/etc/systemd/system/$unit"
done
# Of the devices, udev looks at disks, interfaces and the power button; at all of them it takes half of the boot.
mkdir -p "$root/etc/systemd/system/systemd-udev-trigger.service.d"
cat >"$root/etc/systemd/system/systemd-udev-trigger.service.d/few.conf" <<'UNIT'
[Service]
ExecStart=
ExecStart=-udevadm trigger --type=devices --action=add --subsystem-match=block --subsystem-match=input --subsystem-match=net
UNIT
mke2fs -q -t ext4 -m 0 -J size=16 -E lazy_itable_init=1 -d "$root" "$out/root.ext4" 3G
