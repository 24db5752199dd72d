#!/usr/bin/env bash
# customise-root.sh ROOT: makes a fresh root file system the root of a quickly booting machine with the users
# and the defaults of a Debian cloud image. Run on every layer once its packages are in.
set -euo pipefail
root=$1

# Roles start when Terraform says so: one that is left to start by itself fails and starts again, on every machine and all
# the time. The timers would only disturb measurements.
for unit in haproxy keepalived nginx squid nftables postgresql patroni pgbouncer etcd pdns prometheus-postgres-exporter \
  rsyslog chrony drbd pacemaker corosync corosync-qdevice corosync-qnetd sbd heartbeat logd pcsd nfs-server rpcbind.socket rpcbind \
  nfs-blkmap apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer e2scrub_reap \
  fstrim.timer logrotate.timer man-db.timer systemd-timesyncd; do
  chroot "$root" systemctl disable "$unit" >/dev/null 2>&1 || true # not in every layer
done
# Of no use without a console, or impossible in a container.
chroot "$root" systemctl mask --quiet console-getty.service getty@tty1.service systemd-firstboot.service \
  systemd-networkd-wait-online.service sys-kernel-debug.mount sys-kernel-tracing.mount
chroot "$root" systemctl enable --quiet ssh.service
chroot "$root" systemctl set-default --quiet multi-user.target

# A container cannot set its computer's clock: chronyd only measures (-x), and systemd lets it start.
if [[ -e $root/usr/sbin/chronyd ]]; then
  mkdir -p "$root/etc/systemd/system/chrony.service.d"
  cat >"$root/etc/systemd/system/chrony.service.d/no-clock.conf" <<'UNIT'
[Unit]
ConditionCapability=
[Service]
ExecStart=
ExecStart=!/usr/sbin/chronyd $DAEMON_OPTS -x
UNIT
fi

# Kernel settings outside /proc/sys/net are the whole computer's: read-only in a container. Each machine gets
# copies that it can set, to no effect, so that `sysctl` succeeds as it does on a virtual machine.
cat >"$root/usr/local/sbin/copy-kernel-settings" <<'SCRIPT'
#!/bin/sh
copies=/run/kernel-settings
mkdir -p "$copies/kernel"
cp -r /proc/sys/vm /proc/sys/fs "$copies" 2>/dev/null # some cannot be read
for directory in vm fs; do
  mount --bind "$copies/$directory" "/proc/sys/$directory"
done
for name in pid_max threads-max panic panic_on_oops sysrq core_pattern shmmax shmall sem; do
  cp "/proc/sys/kernel/$name" "$copies/kernel" && mount --bind "$copies/kernel/$name" "/proc/sys/kernel/$name"
done
SCRIPT
chmod 755 "$root/usr/local/sbin/copy-kernel-settings"
cat >"$root/etc/systemd/system/copy-kernel-settings.service" <<'UNIT'
[Unit]
Description=Kernel settings that a container may change
ConditionVirtualization=container
DefaultDependencies=no
Before=systemd-sysctl.service sysinit.target
[Service]
Type=oneshot
ExecStart=/usr/local/sbin/copy-kernel-settings
[Install]
WantedBy=sysinit.target
UNIT
chroot "$root" systemctl enable --quiet copy-kernel-settings.service

# Of a kernel module's: a virtual machine's only.
if [[ -e $root/usr/sbin/rpc.gssd ]]; then
  mkdir -p "$root/etc/systemd/system/run-rpc_pipefs.mount.d"
  printf '[Unit]\nConditionVirtualization=!container\n' >"$root/etc/systemd/system/run-rpc_pipefs.mount.d/no-container.conf"
fi

# root and admin by key only, as in a cloud image; nosudo for what happens to users without rights.
echo 'PasswordAuthentication no' >"$root/etc/ssh/sshd_config.d/cloud-image.conf"
for user in admin nosudo; do
  chroot "$root" id "$user" >/dev/null 2>&1 || chroot "$root" useradd --create-home --shell /bin/bash "$user"
done
echo 'admin ALL=(ALL) NOPASSWD:ALL' >"$root/etc/sudoers.d/admin"
chmod 440 "$root/etc/sudoers.d/admin"

# As in a cloud image; without it, databases would be made with the encoding SQL_ASCII.
echo 'LANG=C.UTF-8' >"$root/etc/default/locale"

# What each machine gets at its first boot (boot.sh), and what must not come from this computer.
rm -f "$root"/etc/ssh/ssh_host_* "$root/etc/resolv.conf" "$root/etc/hostname" "$root/etc/apt/apt.conf.d/99mmdebstrap"
: >"$root/etc/resolv.conf"
: >"$root/etc/machine-id"
