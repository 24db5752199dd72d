#!/usr/bin/env bash
# apt-repository.sh DIRECTORY RELEASE...: an apt repository like Apache's of releases that fetch.sh has, packages laid out as
# Apache's are: conffiles, an init script, scripts that set up the service, which a tell-tale here betrays.
#   DIRECTORY/            dists/50x, signed by a key that KEYS holds among others
#   DIRECTORY/forged/     the same, signed by another key
#   DIRECTORY/damaged/    signed, with packages that are not what the index says
#   DIRECTORY/decoy/      not signed, with a package of the same version and a newer one
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
directory=$1
shift
architecture=$(dpkg --print-architecture)
mkdir -p "$directory/pool"
cd "$directory"
work=$(mktemp -d)
export GNUPGHOME=$work/gnupg
trap 'gpgconf --kill all; rm -rf "$work"' EXIT
mkdir -m 700 "$GNUPGHOME"

key() { gpg --batch --quiet --passphrase '' --quick-generate-key "$1" ed25519 sign never; }

control() { # ROOT VERSION
  mkdir -p "$1/DEBIAN" "$1/etc/init.d" "$1/etc/cassandra"
  cat >"$1/DEBIAN/control" <<TEXT
Package: cassandra
Version: $2
Architecture: all
Maintainer: nobody <nobody@example.net>
Depends: openjdk-17-jre-headless | java17-runtime, adduser, python3 (>= 3.6)
Recommends: ntp | time-daemon
Section: misc
Priority: extra
Description: distributed storage system for structured data
TEXT
  printf '#!/bin/sh\n# Provides: cassandra\n/usr/sbin/cassandra\n' >"$1/etc/init.d/cassandra"
  printf 'cluster_name: Test Cluster\n' >"$1/etc/cassandra/cassandra.yaml"
  printf '/etc/cassandra/cassandra.yaml\n/etc/init.d/cassandra\n' >"$1/DEBIAN/conffiles"
  printf '#!/bin/sh\nset -e\ntouch /run/package-was-installed\ninvoke-rc.d cassandra start\n' >"$1/DEBIAN/postinst"
  chmod 755 "$1/etc/init.d/cassandra" "$1/DEBIAN/postinst"
}

package() { # ROOT FILE: jars are compressed already
  dpkg-deb --root-owner-group -Znone --build "$1" "$2" >/dev/null
  rm -rf "$1"
}

index() { # DIRECTORY PACKAGE...: their part of a Packages file, with paths below DIRECTORY
  local below=$1 file
  shift
  for file in "$@"; do
    dpkg-deb --field "$file"
    printf 'Filename: %s\nSize: %s\nSHA256: %s\n\n' "${file#"$below/"}" "$(stat -c %s "$file")" "$(sha256sum "$file" | cut -d ' ' -f 1)"
  done
}

signed() { # REPOSITORY KEY: its Release, signed
  local packages=main/binary-$architecture/Packages
  (
    cd "$1/dists/50x"
    printf 'Origin: Unofficial Cassandra Packages\nSuite: 50x\nCodename: 50x\nArchitectures: %s\nComponents: main\nDate: %s\nSHA256:\n %s %s %s\n' \
      "$architecture" "$(LC_ALL=C date --utc +'%a, %d %b %Y %T UTC')" \
      "$(sha256sum "$packages" | cut -d ' ' -f 1)" "$(stat -c %s "$packages")" "$packages" >Release
    gpg --batch --quiet --local-user "$2" --clearsign --output InRelease Release
  )
}

for release in "$@"; do
  layer=$("$here/fetch.sh" "$release")
  root=$work/$release share=$work/$release/usr/share/cassandra
  control "$root" "$release"
  mkdir -p "$share" "$root/usr/sbin" "$root/usr/bin"
  cp -r "$layer/opt/cassandra-$release/lib" "$share/lib"
  mv "$share/lib/cassandra-all-$release.jar" "$share/apache-cassandra-$release.jar"
  ln -s "apache-cassandra-$release.jar" "$share/apache-cassandra.jar"
  printf '#!/bin/sh\ntouch /run/package-was-started\n' >"$root/usr/sbin/cassandra"
  printf '#!/bin/sh\nexit 1\n' >"$root/usr/bin/nodetool"
  chmod 755 "$root"/usr/{sbin/cassandra,bin/nodetool}
  package "$root" "pool/cassandra_${release}_all.deb"
done

for name in retired release other; do key "$name <$name@example.net>"; done
{
  printf 'This file contains the PGP keys of various developers.\n\npub   somebody\n'
  gpg --armor --export retired@example.net
  printf '\npub   somebody else\n'
  gpg --armor --export release@example.net
} >KEYS
mkdir -p "dists/50x/main/binary-$architecture" forged damaged/pool decoy
index . pool/*.deb >"dists/50x/main/binary-$architecture/Packages"
cp -r dists forged/
cp -r dists damaged/
ln -s ../pool forged/pool
signed . release@example.net
signed damaged release@example.net
signed forged other@example.net
for file in pool/*.deb; do truncate --size="$(stat -c %s "$file")" "damaged/$file"; done
for release in "$1" 9.9.9; do
  control "$work/decoy" "$release"
  package "$work/decoy" "decoy/cassandra_${release}_all.deb"
done
index decoy decoy/*.deb >decoy/Packages
chmod --recursive a+rX .
