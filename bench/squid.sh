#!/usr/bin/env bash
# npm run bench:squid [ROUNDS [SECONDS]]: see squid.ts. Builds a root file system with Debian's squid-openssl, nginx, varnish and wrk
# once, from this computer's own apt sources, and keeps it in $HA_MACHINES_CACHE (~/.cache/cdktf-ha-clusters).
set -euo pipefail
umask 022

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
fail() { echo "bench:squid: $*" >&2; exit 1; }
[[ $EUID = 0 ]] || fail "needs root"
(($(nproc) > 1)) || fail "needs two processors: one for the server, one for who asks"
for program in mmdebstrap curl taskset setpriv unshare; do
  command -v "$program" >/dev/null || fail "$program is not installed here: apt-get install mmdebstrap curl util-linux"
done
# shellcheck source=/dev/null
codename=$(. /etc/os-release && echo "$VERSION_CODENAME")
# gcc: varnish compiles its configuration
packages=squid-openssl,nginx-light,varnish,gcc,libc6-dev,wrk
cache=${HA_MACHINES_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/cdktf-ha-clusters}
root=$cache/bench-squid-$codename-$(sha256sum <<<"$packages" | cut -c1-12)
if [[ ! -d $root ]]; then
  mkdir -p "$cache"
  building=$(mktemp -d "$cache/building-XXXXXX")
  trap 'rm -rf --one-file-system "$building"' EXIT
  sources=()
  for file in /etc/apt/sources.list.d/debian.sources /etc/apt/sources.list; do
    [[ ! -s $file ]] || sources=("$file")
  done
  apt-config dump --format '%F "%v";%n' Acquire::http Acquire::https Acquire::Retries >"$building/apt.conf"
  echo "building $root: $packages"
  mmdebstrap --quiet --mode=root --variant=minbase --include="$packages" --aptopt="$building/apt.conf" \
    --dpkgopt='path-exclude=/usr/share/man/*/*' --dpkgopt='path-exclude=/usr/share/doc/*' \
    "$codename" "$building/root" "${sources[@]}" >"$building/log" 2>&1 || {
    tail -n 20 "$building/log" >&2
    fail "apt cannot install $packages"
  }
  chmod 755 "$building/root"
  mv "$building/root" "$root"
  rm -rf "$building"
  trap - EXIT
fi
exec "$here/../machines/sealed.sh" npx tsx "$here/squid.ts" "$root" "$@"
