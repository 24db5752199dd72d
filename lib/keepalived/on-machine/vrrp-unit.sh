#!/bin/bash
# Tells keepalived whether a unit is up: run by systemd as the unit starts (0) and after it has stopped or died (1), and
# for all of them before keepalived itself starts. keepalived watches the files.
#   vrrp-unit UNIT 0|1     vrrp-unit refresh
set -u
directory=/run/cdktf-ha-vrrp-units
mkdir -p "$directory"
say() {
  printf '%s\n' "$2" >"$directory/.$1"
  mv "$directory/.$1" "$directory/$1"
}
if [[ $1 != refresh ]]; then
  say "$1" "$2"
  exit 0
fi
while read -r unit; do
  if systemctl is-active --quiet "$unit"; then say "$unit" 0; else say "$unit" 1; fi
done </etc/keepalived/cdktf-ha-units
