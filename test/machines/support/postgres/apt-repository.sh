#!/usr/bin/env bash
# apt-repository.sh DIRECTORY: a signed apt repository with components, as PGDG's is, with what fetch.sh has: Patroni 4 and PostgreSQL 16. Its key is
# DIRECTORY/KEYS, and DIRECTORY/OTHER one that has signed nothing.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
directory=$1
architecture=$(dpkg --print-architecture)
work=$(mktemp -d)
export GNUPGHOME=$work/gnupg
trap 'gpgconf --kill all; rm -rf "$work"' EXIT
mkdir -m 700 "$GNUPGHOME"
packages=main/binary-$architecture/Packages
mkdir -p "$directory/pool" "$directory/dists/bookworm-pgdg/${packages%/*}"
cd "$directory"

package() { # NAME VERSION DEPENDS [POSTINST]: of $work/NAME
  local root=$work/$1 file=pool/$1.deb
  mkdir "$root/DEBIAN"
  printf 'Package: %s\nVersion: %s-1.pgdg12+1\nArchitecture: %s\nMaintainer: nobody <nobody@example.net>\nDepends: %s\nDescription: of the tests\n' \
    "$1" "$2" "$architecture" "$3" >"$root/DEBIAN/control"
  printf '#!/bin/sh\nset -e\n%s\n' "${4:-true}" >"$root/DEBIAN/postinst"
  chmod 755 "$root/DEBIAN/postinst"
  dpkg-deb --root-owner-group -Znone --build "$root" "$file" >/dev/null
  dpkg-deb --field "$file"
  printf 'Filename: %s\nSize: %s\nSHA256: %s\n\n' "$file" "$(stat -c %s "$file")" "$(sha256sum "$file" | cut -d ' ' -f 1)"
}

patroni=$("$here/fetch.sh" patroni-4.1.5)
mkdir -p "$work"/patroni/usr/{bin,lib/python3/dist-packages}
cp -r "$patroni/patroni" "$work/patroni/usr/lib/python3/dist-packages/"
entry() { # MODULE FUNCTION: guarded, as Patroni starts PostgreSQL by a process that reads this once more
  printf '#!/usr/bin/python3\nfrom %s import %s\nif __name__ == "__main__":\n    %s()\n' "$1" "$2" "$2"
}
entry patroni.__main__ main >"$work/patroni/usr/bin/patroni"
entry patroni.ctl ctl >"$work/patroni/usr/bin/patronictl"
chmod 755 "$work"/patroni/usr/bin/*
postgres=$("$here/fetch.sh" pgserver-0.1.4)
mkdir -p "$work/postgresql-16/usr/lib/postgresql"
cp -r "$postgres/pgserver/pginstall" "$work/postgresql-16/usr/lib/postgresql/16"
cp -r "$postgres/pgserver.libs" "$work/postgresql-16/usr/lib/"
# Debian's psql looks for sockets where Debian has them; and 16.2's own pg_dump is older than what Debian's server notes of columns (pg_attver),
# which every pg_dump of its own time leaves out
rm -r "$work"/postgresql-16/usr/lib/postgresql/16/{bin/psql,bin/pg_dump,include}
chmod 755 "$work"/postgresql-16/usr/lib/postgresql/16/bin/*
ln -s ../../15/bin/pg_dump "$work/postgresql-16/usr/lib/postgresql/16/bin/pg_dump"
# and it has no extension that Debian's has, too: this one needs no library
for file in intagg.control intagg--1.1.sql; do
  ln -s "/usr/share/postgresql/15/extension/$file" "$work/postgresql-16/usr/lib/postgresql/16/share/postgresql/extension/$file"
done
{
  package patroni 4.1.5 "python3-cdiff, python3-click, python3-dateutil, python3-prettytable, python3-psutil, python3-urllib3, python3-yaml, python3-psycopg2, python3-etcd" "invoke-rc.d patroni restart" # as Debian's does
  package postgresql-16 16.2 postgresql-common
} >"dists/bookworm-pgdg/$packages"
cd dists/bookworm-pgdg
printf 'Origin: apt.postgresql.org\nSuite: bookworm-pgdg\nCodename: bookworm-pgdg\nArchitectures: %s\nComponents: main\nDate: %s\nSHA256:\n %s %s %s\n' \
  "$architecture" "$(LC_ALL=C date --utc +'%a, %d %b %Y %T UTC')" "$(sha256sum "$packages" | cut -d ' ' -f 1)" "$(stat -c %s "$packages")" "$packages" >Release
for name in repository other; do gpg --batch --quiet --passphrase '' --quick-generate-key "$name <$name@example.net>" ed25519 sign never; done
gpg --batch --quiet --local-user repository@example.net --clearsign --output InRelease Release
gpg --armor --export repository@example.net >"$directory/KEYS"
gpg --armor --export other@example.net >"$directory/OTHER"
chmod --recursive a+rX "$directory"
