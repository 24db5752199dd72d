#!/bin/bash
# Tells keepalived whether a unit is up: run by systemd as the unit starts (0) and after it has stopped or died (1), and
# for all of them before keepalived itself starts. keepalived watches the files.
#   vrrp-unit UNIT 0|1     vrrp-unit refresh
set -u
directory=/run/cdktf-ha-vrrp-units
mkdir -p "$directory"
exec 9>>"$directory/.lock" # between the question and the answer of a refresh no unit has its say
flock 9
say() {
  printf '%s\n' "$2" >"$directory/.$1"
  mv "$directory/.$1" "$directory/$1"
}
if [[ $1 != refresh ]]; then
  say "$1" "$2"
  exit 0
fi
while read -r unit; do
  case $(systemctl is-active "$unit") in
    active | reloading) say "$unit" 0 ;;
    # on its way up or down it says so itself, or has already
    activating | deactivating) [[ -e $directory/$unit ]] || say "$unit" 1 ;;
    *) say "$unit" 1 ;;
  esac
done </etc/keepalived/cdktf-ha-units
