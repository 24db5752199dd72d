#!/usr/bin/env bash
# install.sh: an environment of Python's with OpenStack's Redfish emulator, into the cache of machines/; what is there already is left alone. Prints its directory.
#   install.sh --where   only prints it; status 1 where it is missing
set -euo pipefail
umask 022
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cache=${HA_MACHINES_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/cdktf-ha-clusters}
target=$cache/redfish-emulator-$(sha256sum "$here/requirements.txt" | cut -c1-12)
if [[ ! -e $target/whole ]]; then # an environment knows its own path and cannot be moved
  [[ ${1:-} != --where ]] || exit 1
  python3 -c 'import venv, ensurepip' 2>/dev/null || { echo "$0: python3 has no venv (Debian, Ubuntu: apt-get install python3-venv)" >&2; exit 1; }
  rm -rf "$target"
  python3 -m venv "$target"
  "$target/bin/pip" install --quiet --disable-pip-version-check --requirement "$here/requirements.txt" >&2
  touch "$target/whole"
fi
echo "$target"
