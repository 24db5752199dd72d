#!/usr/bin/env bash
# two-versions.sh SCRIPT: in a root file system of the tests, with a PostgreSQL 15 on 127.0.0.1:5440 (sockets in /tmp/old) and an empty 16 as a set
# has it, in namespaces of its own; SCRIPT is run there, by bash, with move-in on its path. Needs what test/machines/support/postgres/fetch.sh brings.
set -euo pipefail
top=$(cd "$(dirname "${BASH_SOURCE[0]}")/../../.." && pwd)
if [[ ${2:-} != inside ]]; then exec unshare --mount --net --pid --fork --kill-child "$0" "$1" inside; fi
layers=$("$top/machines/root-file-system.sh" --layers tests | paste -sd :)
pgserver=$("$top/test/machines/support/postgres/fetch.sh" pgserver-0.1.4)
mount --make-rprivate /
mount -t tmpfs none /mnt
mkdir /mnt/{upper,work,root}
root=/mnt/root
mount -t overlay overlay "$root" -o "lowerdir=$layers,upperdir=/mnt/upper,workdir=/mnt/work"
mount --rbind /dev "$root/dev"
mount -t proc proc "$root/proc"
cp -r "$pgserver/pgserver/pginstall" "$root/usr/lib/postgresql/16"
cp -r "$pgserver/pgserver.libs" "$root/usr/lib/"
chmod 755 "$root"/usr/lib/postgresql/16/bin/*
# 16.2's own is older than what Debian's server notes of columns (pg_attver), which every pg_dump of its own time leaves out
ln -sf ../../15/bin/pg_dump "$root/usr/lib/postgresql/16/bin/pg_dump"
install -m 755 "$top/lib/postgres-replica-set/on-machine/move-in.sh" "$root/usr/local/bin/move-in"
ip link set lo up
cat >"$root/start" <<'TEXT'
set -euo pipefail
cd /
install --directory --owner=postgres /run/postgresql /var/lib/postgresql /tmp/old
as() { runuser --user postgres -- "$@"; }
old() { as psql -XAtq --host /tmp/old --port 5440 "$@"; }
new() { as psql -XAtq --host /run/postgresql "$@"; }
start() { # VERSION DATA OPTIONS
  as "/usr/lib/postgresql/$1/bin/initdb" --pgdata="$2" --locale=C.UTF-8 --auth-local=trust --auth-host=scram-sha-256 >/dev/null
  as "/usr/lib/postgresql/$1/bin/pg_ctl" --pgdata="$2" --wait --log="$2/log" --options="$3" start >/dev/null
}
start 15 /tmp/old/data "-p 5440 -k /tmp/old"
start 16 /var/lib/postgresql/data "-c listen_addresses= -k /run/postgresql"
TEXT
chroot "$root" bash -c ". /start; $1"
