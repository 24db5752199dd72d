#!/bin/bash
# Before timers are changed, with the new files in view: does systemd take their calendars?
set -euo pipefail
for timer in "$HA_DIR"/root/etc/systemd/system/*.timer; do
  [[ -e $timer ]] || continue
  calendar=$(sed -nE 's/^OnCalendar=//p' "$timer")
  [[ -n $calendar ]] || continue
  words=$(systemd-analyze calendar "$calendar" 2>&1) || {
    printf '%s\n' "$words" >&2
    exit 1
  }
done
