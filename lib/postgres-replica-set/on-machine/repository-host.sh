#!/bin/sh
# On the host of the repository, for the time of one command of pgBackRest's. A member sends it (repository_host.py), with: the socket that leads
# back to it, the program that goes there, the repository's directory, and the words of the command.
set -u
asks=$1 bridge=$2 repository=$3
shift 3
umask 077
place=
trap 'rm -rf "$place" "$asks"' EXIT
trap 'exit 1' HUP INT TERM
refused() {
  echo "$1" >&2
  exit 1
}
for needed in pgbackrest python3; do
  command -v "$needed" >/dev/null || refused "there is no $needed on the host of the repository"
done
test -d "$repository" || refused "$repository is no directory on the host of the repository"
test -w "$repository" || refused "$(id -un) may not write in $repository on the host of the repository"
# at home: /tmp may be mounted without the right to run anything
place=$(mktemp -d "$HOME/.cdktf-ha-XXXXXX") || exit 1
printf '%s' "$bridge" >"$place/to-the-member"
chmod 700 "$place/to-the-member"
PGBACKREST_CMD_SSH="$place/to-the-member" CDKTF_HA_ASKS="$asks" pgbackrest --config=/dev/null "$@" </dev/null
