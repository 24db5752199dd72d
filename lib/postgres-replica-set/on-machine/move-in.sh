#!/bin/bash
# move-in DATABASE HOST PORT [try]
# What a database of another server holds comes into this set's database of that name, which is empty so far: the way to another major version,
# and from a server elsewhere. As root, on the member that leads. It logs in there as the database's owner, whose password is the first line of the input.
# "try" leaves the other server alone, and what has come is dropped again: it shows whether all of it can come, and how long it takes.
# Else the database there is read-only from the beginning on, and stays so; where something fails, it may be written to again.
set -euo pipefail
fail() { echo "$*" >&2; exit 1; }
(($# == 3 || $# == 4)) || { sed -n '2,6s/^# //p' "$0" >&2; exit 2; }
database=$1 host=$2 port=$3 try=${4:-}
[[ -z $try || $try = try ]] || fail "the fourth word is 'try', or nothing"
IFS= read -r password || fail "the password of the database's owner is the first line of the input"
new=${database}_moving
socket=(--host /var/run/postgresql)
cd /

here() { # DATABASE STATEMENT...
  local name=$1
  shift
  runuser --user postgres -- psql -XAtq --set ON_ERROR_STOP=1 "${socket[@]}" --dbname "$name" "${@/#/--command=}"
}
there() { # COMMAND...: of libpq; a session may write even where the database says otherwise
  PGHOST=$host PGPORT=$port PGUSER=$owner PGPASSWORD=$password PGDATABASE=$database PGCONNECT_TIMEOUT=10 \
    PGOPTIONS='-c default_transaction_read_only=off -c statement_timeout=0 -c lock_timeout=60s' "$@"
}
ask() { there psql -XAtq --set ON_ERROR_STOP=1 "${@/#/--command=}"; }
said() { printf '%s s: %s\n' "$SECONDS" "$*"; logger --tag cdktf-ha-postgres -- "$database from $host: $*"; }

[[ $database =~ ^[a-z_][a-z0-9_]*$ ]] || fail "'$database' is no name that the set's databases have"
[[ $(here postgres 'select pg_is_in_recovery()') = f ]] || fail "another member leads: this is for the one that does"
owner=$(here postgres "select pg_get_userbyid(datdba) from pg_database where datname = '$database'")
[[ -n $owner && $owner != postgres ]] || fail "the set has no database '$database' with an owner: add both to the code, and apply"
objects="select count(*) from pg_class c join pg_namespace n on n.oid = relnamespace where nspname !~ '^pg_' and nspname <> 'information_schema'
  and not exists (select from pg_depend d where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.deptype = 'e')"
[[ $(here "$database" "$objects") = 0 ]] || fail "'$database' is not empty here"
major=$(($(here postgres 'show server_version_num') / 10000))
old=$(($(ask 'show server_version_num') / 10000))
((old <= major)) || fail "PostgreSQL $old there is newer than $major here"
bin=/usr/lib/postgresql/$major/bin
jobs=$(($(nproc) < 4 ? $(nproc) : 4))

work=$(mktemp --directory /var/lib/postgresql/move-in.XXXXXX)
stopped=
finish() {
  local status=$?
  if ((status)) && [[ -n $stopped ]]; then
    ask "alter database $database reset default_transaction_read_only" && said "given up: $host takes writes again"
  fi
  here postgres "set client_min_messages = warning" "drop database if exists $new with (force)" || true
  rm --recursive --force "$work"
  exit "$status"
}
trap finish EXIT

if [[ -z $try ]]; then
  stopped=1
  ask "alter database $database set default_transaction_read_only = on" \
    "select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and usename = current_user and pid <> pg_backend_pid()" >/dev/null
  others="select string_agg(distinct usename, ', ') from pg_stat_activity where datname = current_database() and usename <> current_user"
  for ((wait = 0; wait < 20; wait++)); do
    left=$(ask "$others")
    [[ -n $left ]] || break
    sleep 0.5
  done
  [[ -z $left ]] || fail "sessions of $left are in the database there, and may write: end them first, by pg_terminate_backend"
  said "$host is read-only"
fi
there "$bin/pg_dump" --format=directory --jobs="$jobs" --file="$work/dump"
chown --recursive postgres:postgres "$work"
said "dumped, $(du --summarize --human-readable "$work/dump" | cut -f 1)"
# a copy of the empty one: with the code's extensions and grants; whoever is there, a pooler, comes again
copy="select pg_terminate_backend(pid) from pg_stat_activity where datname = '$database'"
here postgres "$copy" >/dev/null
here postgres "create database $new template $database owner $owner" "revoke all on database $new from public"
here postgres "select format('grant %s on database $new to %s;', privilege_type, case grantee when 0 then 'public' else grantee::regrole::text end)
  from pg_database, aclexplode(datacl) where datname = '$database'" |
  runuser --user postgres -- psql -Xq --set ON_ERROR_STOP=1 "${socket[@]}" --dbname postgres
runuser --user postgres -- "$bin/pg_restore" "${socket[@]}" --exit-on-error --jobs="$jobs" --dbname="$new" "$work/dump"
runuser --user postgres -- "$bin/vacuumdb" "${socket[@]}" --quiet --analyze-only --jobs="$jobs" --dbname="$new"
said "restored"
if [[ -n $try ]]; then
  said "tried: nothing has changed here or there"
  exit 0
fi
# every table is counted on both sides, and every sequence is where it was
tables="select format('select %L || count(*) from %I.%I', schemaname || '.' || tablename || ': ', schemaname, tablename) from pg_tables
  where schemaname !~ '^pg_' and schemaname <> 'information_schema' order by 1"
sequences="select schemaname || '.' || sequencename || ': ' || coalesce(last_value::text, '-') from pg_sequences order by 1"
ask "$tables" | tee "$work/count.sql" | while IFS= read -r statement; do ask "$statement"; done >"$work/there"
while IFS= read -r statement; do here "$new" "$statement"; done <"$work/count.sql" >"$work/here"
ask "$sequences" >>"$work/there"
here "$new" "$sequences" >>"$work/here"
diff "$work/there" "$work/here" >&2 || fail "what is here is not what is there"
said "counted: $(wc --lines <"$work/count.sql") tables, the same there and here"
here postgres "$copy" "begin" "alter database $database rename to ${database}_empty" "alter database $new rename to $database" "commit" >/dev/null
stopped=
here postgres "drop database ${database}_empty"
said "moved in: clients may come"
