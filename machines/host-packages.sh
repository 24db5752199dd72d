#!/usr/bin/env bash
# Which Debian packages does this computer lack for machines/?
#   host-packages.sh [vms]             lists the missing ones; exit status 1 if there are any
#   host-packages.sh --install [vms]   installs just these
# vms: with what virtual machines take.
set -euo pipefail

packages=(
  systemd-container # systemd-nspawn: boots the machines
  mmdebstrap        # builds their root file system
  iproute2 nftables # bridges, cables, partitions
  openssh-client    # ssh, ssh-keygen
  python3-minimal   # port scans from the lab's main namespace
)

install=
[[ ${1:-} != --install ]] || { install=yes && shift; }
case ${1:-} in
  '') ;;
  vms)
    packages+=(
      qemu-system-x86 # the virtual machines
      qemu-utils      # their disks
      e2fsprogs       # the image of these
    )
    ;;
  *) echo "unknown: $1" >&2 && exit 2 ;;
esac

missing=()
for package in "${packages[@]}"; do
  status=$(dpkg-query --show --showformat='${db:Status-Status}' "$package" 2>/dev/null) || status=absent
  [[ $status = installed ]] || missing+=("$package")
done

if ((${#missing[@]} == 0)); then
  echo "Every host package that machines/ needs is installed."
elif [[ $install ]]; then
  echo "Installing on this computer: ${missing[*]}"
  [[ $EUID = 0 ]] || { echo "host-packages.sh --install needs root: run it with sudo." >&2; exit 1; }
  export DEBIAN_FRONTEND=noninteractive
  apt-get update --quiet=2
  apt-get install --quiet=2 --yes --no-install-recommends "${missing[@]}"
else
  echo "Missing on this computer: ${missing[*]}"
  echo "Install them with: $0 --install $*"
  exit 1
fi
