#!/bin/bash
# merge-cib.sh FILE: makes what is ours in Pacemaker's configuration what the file says, and leaves alone what others put
# there: DRBD's handlers forbid a stale node by a constraint, people ban and unban. One change, made of the difference only:
# what is as it was goes on running, and whoever else writes meanwhile loses nothing.
set -euo pipefail
wanted=$1
work=$(mktemp --directory)
trap 'rm --recursive --force "$work"' EXIT
words=''
for _ in 1 2 3 4 5; do
  cibadmin --query >"$work/now.xml"
  schema=$(sed -nE '1s/.* validate-with="([^"]*)".*/\1/p' "$work/now.xml")
  # half way, what others put there names resources that are away
  sed '1s/ validate-with="[^"]*"/ validate-with="none"/' "$work/now.xml" >"$work/new.xml"
  CIB_file=$work/new.xml cibadmin --delete-all --force --xpath "/cib/configuration/*/*[starts-with(@id, 'ha-')]" >/dev/null
  CIB_file=$work/new.xml cibadmin --modify --allow-create --scope configuration --xml-file "$wanted" >/dev/null
  sed --in-place "2,\$!s/ validate-with=\"none\"/ validate-with=\"$schema\"/" "$work/new.xml"
  crm_verify --xml-file "$work/new.xml"
  status=0
  crm_diff --no-version --original "$work/now.xml" --new "$work/new.xml" >"$work/patch.xml" || status=$?
  # 1: they differ; above that the tool failed
  ((status <= 1)) || exit "$status"
  # in which order things stand there makes no difference
  grep '<change ' "$work/patch.xml" | grep -v ' operation="move"' >/dev/null || exit 0
  if words=$(cibadmin --patch --xml-file "$work/patch.xml" 2>&1); then
    echo "the cluster's configuration has changed"
    exit 0
  fi
  sleep 1 # somebody else wrote meanwhile
done
printf 'Pacemaker does not take the change: %s\n' "$words" >&2
exit 1
