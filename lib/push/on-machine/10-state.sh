#!/bin/bash
# Where the push keeps what it knows, and how it speaks. First part of the program that runs on machines:
# the parts are joined in the order of their numbers (see ../program.ts).
#
#   /var/lib/cdktf-ha/            0700 root: configs with secrets filled in live below
#     owner                       which stack manages this machine
#     secrets/                    generated on this machine, never anywhere else
#     incoming/ID/                one push on its way: program, log, result, uploaded secrets
#     edited/NAME/TIME/           files of a service that somebody had changed by hand, kept before they were replaced or removed
#     services/NAME/
#       current/                  what was last pushed and found healthy ("the last good version")
#       original/                 what stood at our paths before the first push
#       pending/                  checked, waiting for `complete` (standby first); there until that is done
#       previous/                 what was current, for the moment in which staged takes its place
#       reserve                   room on the disk for the way back
#       staged/                   a transaction under way
#       phase                     there while files or the daemon are being changed
#       last-push.log
set -Eeuo pipefail
umask 077
export LC_ALL=C PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
export DEBIAN_FRONTEND=noninteractive

HA_STATE=/var/lib/cdktf-ha
HA_LOCK=/run/cdktf-ha.lock
HA_MACHINE=${HA_MACHINE:-$(uname -n)}
HA_SERVICE=${HA_SERVICE:-}

# One line a step, with machine and service named: this is what `cdktf deploy` shows.
ha_say() { printf '[%s %s] %s\n' "$HA_MACHINE" "$HA_SERVICE" "$*"; }
ha_die() { # on stderr: also heard where a function's output is its answer
  ha_say "FAILED: $*" >&2
  exit 1
}

# Somebody else's words (a daemon's, a parser's), told from ours by the bar. A parser likes to repeat the line it cannot
# read: what is secret in it must not reach the terminal, nor CI's log.
ha_quote() {
  local line file secret secrets=()
  for file in "$(ha_service_dir)"/staged/secrets/*; do
    [[ -e $file ]] || continue
    while IFS= read -r secret || [[ -n $secret ]]; do
      if ((${#secret} >= 4)); then secrets+=("$secret"); fi
    done <"$file"
  done
  while IFS= read -r line || [[ -n $line ]]; do
    for secret in "${secrets[@]}"; do line=${line//"$secret"/(secret)}; done
    printf '[%s %s] | %s\n' "$HA_MACHINE" "$HA_SERVICE" "$line"
  done
}

ha_service_dir() { printf '%s/services/%s' "$HA_STATE" "${1:-$HA_SERVICE}"; }

# 1 file, 2 files
ha_count() { if (($1 == 1)); then printf '1 %s' "$2"; else printf '%s %ss' "$1" "$2"; fi; }

# ha_setting DIR NAME [DEFAULT]: a value of the bundle's settings
ha_setting() {
  local line
  while IFS= read -r line; do
    if [[ $line == "$2="* ]]; then
      printf '%s' "${line#*=}"
      return
    fi
  done < <(cat "$1/control/settings" 2>/dev/null)
  printf '%s' "${3-}"
}

# ha_settings_list DIR NAME: every value of a setting that may be there several times, a line each
ha_settings_list() {
  sed -n "s/^$2=//p" "$1/control/settings" 2>/dev/null || true
}

# A machine has one lock for all its services: apt, systemd and the firewall are shared.
ha_lock() {
  exec 9>"$HA_LOCK"
  if ! flock --nonblock 9; then
    ha_say "another push is at work on this machine; waiting for it"
    flock --wait "${HA_LOCK_WAIT:-900}" 9 || ha_die "another push has been at work on this machine for 15 minutes"
  fi
}

# Is a push at work? A shared lock for an instant: whoever only asks takes nothing away.
ha_is_locked() { ! flock --shared --nonblock "$HA_LOCK" true; }

# Seconds with one decimal since the time in $1 (as of ha_now).
ha_now() { printf '%s' "${EPOCHREALTIME/[.,]/}"; }
ha_since() {
  local tenths=$((($(ha_now) - $1) / 100000))
  printf '%d.%d' $((tenths / 10)) $((tenths % 10))
}

# A rename is only durable once its directory is: sync both.
ha_replace() { # ha_replace NEW PATH
  sync "$1"
  mv --no-target-directory --force "$1" "$2"
  sync "${2%/*}/"
}
