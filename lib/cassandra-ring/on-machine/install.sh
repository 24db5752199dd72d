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

# ring_fail_apt LOG WORDS: with apt's own errors, which hashes may follow
ring_fail_apt() {
  grep -E '^[EW]: ' "$1" | awk '!seen[$0]++' | head -n 5 >&2 || tail -n 5 "$1" >&2
  ring_fail "$2"
}

# Apt's own verification, with lists and keys beside the machine's: its other packages are none of our business.
ring_install_apt() { # MIRROR KEYS SUITE
  local work=$1/apt mirror=$2 keys=$3 suite=$4 release
  mkdir -p "$work"/{lists/partial,cache/archives/partial,unpacked}
  if [[ $keys == /* ]]; then
    cp "$keys" "$work/keys.asc"
  else
    curl --fail --silent --show-error --location --retry 3 --max-time 120 --output "$work/keys.asc" "$keys" ||
      ring_fail "the signing keys could not be fetched from $keys"
  fi
  printf 'deb [signed-by=%s] %s %s main\n' "$work/keys.asc" "$mirror" "$suite" >"$work/sources.list"
  local options=(
    --quiet --option "Dir::Etc::sourcelist=$work/sources.list" --option Dir::Etc::sourceparts=-
    --option "Dir::State::lists=$work/lists" --option "Dir::Cache=$work/cache" --option APT::Sandbox::User=root
    --option Acquire::Retries=3
  )
  apt-get "${options[@]}" update >"$work/log" 2>&1 || ring_fail_apt "$work/log" "$mirror $suite could not be read"
  release=$(apt-cache "${options[@]:1}" madison cassandra | awk -v release="$RING_RELEASE" '$3 == release || index($3, release "-") == 1 { print $3; exit }')
  [[ -n $release ]] || ring_fail "$mirror $suite has no cassandra $RING_RELEASE; it has: $(apt-cache "${options[@]:1}" madison cassandra | awk '{ print $3 }' | head -n 5 | paste -sd ' ')"
  (cd "$work" && apt-get "${options[@]}" download "cassandra=$release" >"$work/log" 2>&1) ||
    ring_fail_apt "$work/log" "cassandra $release could not be downloaded"
  dpkg-deb --extract "$work"/cassandra_*.deb "$work/unpacked"
  [[ -d $work/unpacked/usr/share/cassandra/lib ]] || ring_fail "the package of cassandra $release has no usr/share/cassandra/lib"
  ring_adopt "$work/unpacked/usr/share/cassandra"
}

# ring_fetch SOURCE SHA256 FILE: what comes from a URL or a path, as FILE, if it is what somebody has checked
ring_fetch() {
  if [[ $1 == /* ]]; then
    [[ -r $1 ]] || ring_fail "there is no $1 on this machine"
    ln --symbolic "$1" "$3"
  else
    curl --fail --silent --show-error --location --retry 3 --output "$3" "$1" || ring_fail "$1 could not be fetched"
  fi
  sha256sum --check --status <<<"$2  $3" ||
    ring_fail "$1 has not the SHA-256 $2 but $(sha256sum "$3" | cut -d ' ' -f 1): not used"
}

ring_install_archive() { # WORK SOURCE SHA256
  local work=$1 source=$2 archive=$1/archive found
  ring_fetch "$source" "$3" "$archive"
  mkdir "$work/unpacked"
  tar --extract --gzip --no-same-owner --file "$archive" --directory "$work/unpacked"
  found=$(find "$work/unpacked" -maxdepth 2 -type d -name lib -printf '%h\n' | head -n 1)
  [[ -n $found ]] || ring_fail "$source holds no directory with lib/"
  ring_adopt "$found"
}

# A place for what comes in, on the file system that it goes to: RING_INCOMING.
RING_INCOMING=
ring_incoming() {
  [[ -z $RING_INCOMING ]] || return 0
  mkdir -p /opt/cassandra
  chmod 755 /opt/cassandra
  RING_INCOMING=$(mktemp --directory /opt/cassandra/incoming.XXXXXX)
  trap 'rm --recursive --force "$RING_INCOMING"' EXIT
}

if ((${#RING_AGENT_SOURCE[@]})) && [[ ! -e $RING_AGENT ]]; then
  ring_incoming
  ring_fetch "${RING_AGENT_SOURCE[@]}" "$RING_INCOMING/agent.jar"
  install --mode=0644 "$RING_INCOMING/agent.jar" "$RING_INCOMING/checked.jar"
  mv "$RING_INCOMING/checked.jar" "$RING_AGENT"
fi
[[ -z $RING_AGENT || -r $RING_AGENT ]] || ring_fail "there is no $RING_AGENT on this machine"
if [[ $RING_INSTALLATION != directory && ! -d $RING_HOME/lib ]]; then
  ring_incoming
  case $RING_INSTALLATION in
    apt) ring_install_apt "$RING_INCOMING" "${RING_SOURCE[@]}" ;;
    archive) ring_install_archive "$RING_INCOMING" "${RING_SOURCE[@]}" ;;
  esac
fi
compgen -G "$RING_HOME/lib/*.jar" >/dev/null || ring_fail "$RING_HOME has no lib/*.jar: that is no Cassandra"
have=$(find "$RING_HOME" -maxdepth 2 -name 'apache-cassandra-[0-9]*.jar' -o -maxdepth 2 -name 'cassandra-all-[0-9]*.jar' |
  sed -nE 's,.*/(apache-cassandra|cassandra-all)-([0-9][^/]*)\.jar$,\2,p' | head -n 1)
[[ $have == "$RING_RELEASE" ]] || ring_fail "$RING_HOME holds Cassandra ${have:-of no known release}, not $RING_RELEASE"
