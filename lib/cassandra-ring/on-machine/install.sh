#!/bin/bash
# The release into a directory of its own, complete or not at all. Other releases stay: a rolling upgrade can go back.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=functions.sh
. /usr/local/lib/cdktf-ha/cassandra/functions.sh

# ring_adopt DIRECTORY: what was unpacked becomes the release's home
ring_adopt() {
  chown --recursive root:root "$1"
  chmod --recursive go-w,a+rX "$1"
  mv --no-target-directory "$1" "$RING_HOME"
}

# Apt's own verification, with lists and keys beside the machine's: its other packages are none of our business.
ring_install_apt() { # MIRROR KEYS SUITE
  local work=$1/apt mirror=$2 keys=$3 suite=$4 release
  mkdir -p "$work"/{lists/partial,cache/archives/partial,unpacked}
  curl --fail --silent --show-error --location --retry 3 --max-time 120 --output "$work/keys.asc" "$keys" ||
    ring_fail "the signing keys could not be fetched from $keys"
  printf 'deb [signed-by=%s] %s %s main\n' "$work/keys.asc" "$mirror" "$suite" >"$work/sources.list"
  local options=(
    --quiet --option "Dir::Etc::sourcelist=$work/sources.list" --option Dir::Etc::sourceparts=-
    --option "Dir::State::lists=$work/lists" --option "Dir::Cache=$work/cache" --option APT::Sandbox::User=root
    --option Acquire::Retries=3
  )
  apt-get "${options[@]}" update >"$work/log" 2>&1 || { tail -n 5 "$work/log" >&2 && ring_fail "$mirror $suite could not be read"; }
  release=$(apt-cache "${options[@]:1}" madison cassandra | awk -v release="$RING_RELEASE" '$3 == release || index($3, release "-") == 1 { print $3; exit }')
  [[ -n $release ]] || ring_fail "$mirror $suite has no cassandra $RING_RELEASE; it has: $(apt-cache "${options[@]:1}" madison cassandra | awk '{ print $3 }' | head -n 5 | paste -sd ' ')"
  (cd "$work" && apt-get "${options[@]}" download "cassandra=$release" >"$work/log" 2>&1) ||
    { tail -n 5 "$work/log" >&2 && ring_fail "cassandra $release could not be downloaded"; }
  dpkg-deb --extract "$work"/cassandra_*.deb "$work/unpacked"
  [[ -d $work/unpacked/usr/share/cassandra/lib ]] || ring_fail "the package of cassandra $release has no usr/share/cassandra/lib"
  ring_adopt "$work/unpacked/usr/share/cassandra"
}

ring_install_archive() { # WORK SOURCE SHA256
  local work=$1 source=$2 sha256=$3 archive=$2 found
  if [[ $source != /* ]]; then
    archive=$work/archive
    curl --fail --silent --show-error --location --retry 3 --output "$archive" "$source" || ring_fail "$source could not be fetched"
  fi
  [[ -r $archive ]] || ring_fail "there is no $archive on this machine"
  sha256sum --check --status <<<"$sha256  $archive" ||
    ring_fail "$source has not the SHA-256 $sha256 but $(sha256sum "$archive" | cut -d ' ' -f 1): not unpacked"
  mkdir "$work/unpacked"
  tar --extract --gzip --no-same-owner --file "$archive" --directory "$work/unpacked"
  found=$(find "$work/unpacked" -maxdepth 2 -type d -name lib -printf '%h\n' | head -n 1)
  [[ -n $found ]] || ring_fail "$source holds no directory with lib/"
  ring_adopt "$found"
}

if [[ $RING_INSTALLATION != directory && ! -d $RING_HOME/lib ]]; then
  mkdir -p /opt/cassandra
  chmod 755 /opt/cassandra
  work=$(mktemp --directory /opt/cassandra/incoming.XXXXXX)
  trap 'rm --recursive --force "$work"' EXIT
  case $RING_INSTALLATION in
    apt) ring_install_apt "$work" "${RING_SOURCE[@]}" ;;
    archive) ring_install_archive "$work" "${RING_SOURCE[@]}" ;;
  esac
fi
compgen -G "$RING_HOME/lib/*.jar" >/dev/null || ring_fail "$RING_HOME has no lib/*.jar: that is no Cassandra"
have=$(find "$RING_HOME" -maxdepth 2 -name 'apache-cassandra-[0-9]*.jar' -o -maxdepth 2 -name 'cassandra-all-[0-9]*.jar' |
  sed -nE 's,.*/(apache-cassandra|cassandra-all)-([0-9][^/]*)\.jar$,\2,p' | head -n 1)
[[ $have == "$RING_RELEASE" ]] || ring_fail "$RING_HOME holds Cassandra ${have:-of no known release}, not $RING_RELEASE"
