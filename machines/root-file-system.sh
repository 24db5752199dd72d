#!/usr/bin/env bash
# The machines' root file system, built once from this computer's own apt sources and then kept.
#   root-file-system.sh [demo|tests|vms]            builds what is missing (default: demo)
#   root-file-system.sh --layers [demo|tests|vms]   prints the directories for overlayfs, topmost first
#   root-file-system.sh --image                     prints the directory of the virtual machines' kernel, initrd and disk
# `tests` and `vms` are each a second layer on top of `demo`; with `vms` comes the image of the virtual machines, which is
# the same files. Kept in $HA_MACHINES_CACHE, by default ${XDG_CACHE_HOME:-~/.cache}/cdktf-ha-clusters; a changed package
# list or script builds anew.
set -euo pipefail
umask 022

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cache=${HA_MACHINES_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/cdktf-ha-clusters}
# The release of the machines is the release of this computer: its apt sources serve no other.
# shellcheck source=/dev/null
distribution=$(. /etc/os-release && echo "$ID")
# shellcheck source=/dev/null
codename=$(. /etc/os-release && echo "$VERSION_CODENAME")

key_of() { cat "$@" | sha256sum | cut -c1-12; }
demo_key=$(key_of "$here/root-file-system.sh" "$here/on-host/customise-root.sh" "$here/packages/demo.txt")
tests_key=$({ echo "$demo_key"; cat "$here/packages/tests.txt"; } | key_of -)
demo_root=$cache/demo-$distribution-$codename-$demo_key
tests_root=$cache/tests-$distribution-$codename-$tests_key
vms_key=$({ echo "$demo_key"; cat "$here/packages/vms.txt"; } | key_of -)
vms_root=$cache/vms-$distribution-$codename-$vms_key
image_key=$({ echo "$vms_key"; cat "$here/on-host/vm-image.sh" "$here/on-host/vm-init.sh"; } | key_of -)
image=$cache/image-$distribution-$codename-$image_key

fail() { echo "$0: $*" >&2; exit 1; }

packages_of() { grep --invert-match --extended-regexp '^(#|$)' "$here/packages/$1.txt"; }

# The distribution's own sources only: a third party's repository may not know this release or need a key.
apt_sources() {
  local file
  for file in "/etc/apt/sources.list.d/$distribution.sources" /etc/apt/sources.list; do
    if [[ $file = *.list ]] && grep --quiet '^deb ' "$file" 2>/dev/null; then
      grep '^deb ' "$file" | grep --invert-match 'cdrom:' >"$building/sources.list"
      echo "$building/sources.list"
    elif [[ $file = *.sources && -s $file ]]; then
      echo "$file"
    fi
  done
}

# How this computer downloads packages, for instance by a proxy. Sandbox: apt's own user has no access to a cache
# below /root.
apt_settings() {
  apt-config dump --format '%F "%v";%n' Acquire::http Acquire::https Acquire::Retries Acquire::ForceIPv4 \
    Acquire::Check-Date Acquire::Check-Valid-Until
  echo 'APT::Sandbox::User "root";'
}

build_demo() {
  local sources packages
  mapfile -t sources < <(apt_sources)
  ((${#sources[@]})) || fail "no apt sources of $distribution found in /etc/apt"
  apt_settings >"$building/apt.conf"
  packages=$(packages_of demo | paste --serial --delimiters=,)
  # minbase and no documentation: less to unpack. The directories of the manual pages stay, since
  # update-alternatives fails without them.
  mmdebstrap --mode=root --variant=minbase --include="$packages" \
    --aptopt="$building/apt.conf" \
    --dpkgopt='force-unsafe-io' \
    --dpkgopt='path-exclude=/usr/share/man/*/*' \
    --dpkgopt='path-exclude=/usr/share/doc/*' \
    --dpkgopt='path-exclude=/usr/share/locale/*' \
    --customize-hook="$here/on-host/customise-root.sh \"\$1\"" \
    "$codename" "$building/layer" "${sources[@]}"
}

# apt runs on this computer, with its network and certificates but not its hooks; dpkg runs inside the new root.
# Both as mmdebstrap has it.
apt_in_root() {
  APT_CONFIG=$building/apt.conf DEBIAN_FRONTEND=noninteractive apt-get --yes --quiet --no-install-recommends "$@"
}

# What a package list has on top of `demo`.
build_layer() {
  local list=$1 root=$building/root packages=() package
  mkdir "$building/layer" "$building/work" "$root"
  mount -t overlay overlay "$root" \
    -o "lowerdir=$demo_root,upperdir=$building/layer,workdir=$building/work" ||
    fail "cannot mount an overlay in $cache: set HA_MACHINES_CACHE to a directory on ext4, xfs or btrfs"
  mount --rbind /dev "$root/dev"
  mount -t proc proc "$root/proc"
  mount -t tmpfs tmpfs "$root/tmp"
  # Nothing may start while packages are installed, and a database cluster is the business of the roles.
  printf '#!/bin/sh\nexit 101\n' >"$root/usr/sbin/policy-rc.d"
  chmod 755 "$root/usr/sbin/policy-rc.d"
  mkdir -p "$root/etc/postgresql-common"
  echo 'create_main_cluster = false' >"$root/etc/postgresql-common/createcluster.conf"

  apt_settings >"$building/apt.conf"
  cat >>"$building/apt.conf" <<CONF
Dir "$root";
Dir::State::Status "$root/var/lib/dpkg/status";
DPkg::Chroot-Directory "$root";
DPkg::Options { "--force-confold"; };
CONF
  apt_in_root update
  for package in $(packages_of "$list"); do
    if apt_in_root --simulate install "$package" >/dev/null 2>&1; then
      packages+=("$package")
    elif [[ $codename = bookworm ]]; then
      fail "apt cannot install $package"
    else
      echo "left out, not in $distribution $codename: $package" >&3 # the lists are Debian 12's
    fi
  done
  apt_in_root install "${packages[@]}"
  apt_in_root clean
  "$here/on-host/customise-root.sh" "$root"
  rm -rf "$root/usr/sbin/policy-rc.d" "$root"/var/lib/apt/lists/*
  umount --recursive "$root"
}

build_tests() { build_layer tests; }
build_vms() { build_layer vms; }

# Debian's own kernel: it comes as a file, and is installed neither here nor in the root file system.
build_image() {
  local packages
  mkdir "$building"/{layer,changes,work,root}
  mount -t overlay overlay "$building/root" \
    -o "lowerdir=$vms_root:$demo_root,upperdir=$building/changes,workdir=$building/work"
  packages=$(apt-cache depends linux-image-amd64 | awk '$1 == "Depends:" { print $2; exit }')
  (cd "$building" && apt-get --quiet --option APT::Sandbox::User=root download "${packages:?apt knows no kernel}")
  "$here/on-host/vm-image.sh" "$building/root" "$building"/linux-image-*.deb "$building/layer"
  umount "$building/root"
}

# Old roots and the rests of broken builds, but never one that a running lab has mounted.
remove_old() {
  local directory
  for directory in "$cache"/{demo,tests,vms,image,building}-*; do
    case $directory in "$demo_root" | "$tests_root" | "$vms_root" | "$image") continue ;; esac
    [[ -d $directory ]] || continue
    grep --quiet --no-messages --fixed-strings "/${directory##*/}" /proc/[0-9]*/mountinfo ||
      rm -rf --one-file-system "$directory"
  done
}

# build FLAVOUR ROOT: builds in a temporary directory and renames at the end, so that a root is whole or absent
build() {
  local flavour=$1 root=$2 start=$SECONDS status
  if [[ -d $root ]]; then
    echo "Root file system '$flavour' ($distribution $codename): already in $root"
    return
  fi
  building=$(mktemp -d "$cache/building-XXXXXX")
  chmod 755 "$building" # mktemp's 0700 would keep the machines' other users out
  printf "Root file system '%s' (%s %s): building ... " "$flavour" "$distribution" "$codename"
  # Not `(...) || { ... }`: bash ignores `set -e` left of a `||`.
  set +e
  (
    set -e
    "build_$flavour"
  ) 3>&2 >"$building/log" 2>&1 </dev/null
  status=$?
  set -e
  if ((status != 0)); then
    printf 'failed\n'
    tail -n 40 "$building/log" >&2
    umount --recursive "$building/root" 2>/dev/null || true
    rm -rf --one-file-system "$building"
    exit 1
  fi
  mv "$building/layer" "$root"
  rm -rf --one-file-system "$building"
  printf '%s s, %s, %s\n' $((SECONDS - start)) "$(du --summarize --human-readable "$root" | cut -f1)" "$root"
}

asked=
case ${1:-} in
  --layers | --image)
    asked=$1
    shift
    ;;
esac
flavour=${1:-demo}
[[ $asked != --image ]] || flavour=vms
case $flavour in
  demo) roots=("$demo_root") ;;
  tests) roots=("$tests_root" "$demo_root") ;;
  vms) roots=("$vms_root" "$demo_root") ;;
  *) fail "unknown flavour '$flavour': demo, tests or vms" ;;
esac

if [[ $asked ]]; then
  wanted=("${roots[@]}")
  [[ $asked = --layers ]] || wanted=("$image")
  for root in "${wanted[@]}"; do
    [[ -d $root ]] || fail "the root file system '$flavour' is not built: run machines/root-file-system.sh $flavour"
  done
  printf '%s\n' "${wanted[@]}"
  exit
fi

# The build itself, in namespaces of its own: see below.
if [[ ${HA_MACHINES_BUILD:-} = "$cache" ]]; then
  build demo "$demo_root"
  [[ $flavour = demo ]] || build "$flavour" "${roots[0]}"
  [[ $flavour != vms ]] || build image "$image"
  exit
fi

[[ $EUID = 0 ]] || fail "needs root"
mkdir -p "$cache"
exec 9>"$cache/lock"
flock 9 # one build at a time; a second one then finds the work done
# Whatever ends a build, no mount and no process of it stays.
HA_MACHINES_BUILD=$cache setpriv --pdeathsig KILL \
  unshare --mount --propagation private --pid --fork --kill-child --mount-proc "$0" "$flavour"
remove_old # here, where the mounts of running labs can be seen
