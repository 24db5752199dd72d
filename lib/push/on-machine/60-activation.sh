#!/bin/bash
# Making the daemon run what the files say, and finding out whether it does.

# ha_hook DIR NAME ENVIRONMENT...: runs a hook of the bundle if it has one; 127 if not
ha_hook() {
  local dir=$1 name=$2
  shift 2
  [[ -s $dir/control/$name ]] || return 127
  env HA_SERVICE="$HA_SERVICE" HA_MACHINE="$HA_MACHINE" HA_DIR="$dir" "$@" bash -euo pipefail "$dir/control/$name"
}

ha_has_hook() { [[ -s $1/control/$2 ]]; }

# ha_action CHANGES: none, reload or restart: the strongest that a changed file asks for
ha_action() {
  local action=none on_change
  while IFS=$'\t' read -r on_change _; do
    case $on_change in
      restart) action=restart ;;
      reload) [[ $action == restart ]] || action=reload ;;
    esac
  done < <(cat "$@" 2>/dev/null)
  printf '%s' "$action"
}

# ha_activate DIR ACTION CHANGES
ha_activate() {
  local dir=$1 action=$2 changes=$3 path unit status=0
  HA_DONE="in place" # what is said of it: started, restarted, reloaded
  grep -qE $'\t/(etc|usr/lib|lib)/systemd/' "$changes" && systemctl daemon-reload
  while IFS=$'\t' read -r _ path; do
    [[ $path == /etc/sysctl.d/* && -f $path ]] || continue
    sysctl --quiet --load="$path" >"$HA_WORDS" 2>&1 || return 1
  done <"$changes"
  while IFS= read -r unit; do
    systemctl enable --quiet "$unit" >>"$HA_WORDS" 2>&1 || return 1
  done < <(ha_settings_list "$dir" boot-unit)
  if ha_has_hook "$dir" activate; then
    ha_hook "$dir" activate HA_ACTION="$action" >"$HA_WORDS" 2>&1 || return 1
    return 0
  fi
  while IFS= read -r unit; do
    ha_activate_unit "$unit" "$action" || status=1
  done < <(ha_settings_list "$dir" unit)
  return "$status"
}

ha_activate_unit() {
  local unit=$1 action=$2
  # one that does not start with the machine is missed only when nobody looks any more
  systemctl is-enabled --quiet "$unit" 2>/dev/null || systemctl enable --quiet "$unit" >>"$HA_WORDS" 2>&1 || return 1
  if ! systemctl is-active --quiet "$unit"; then
    systemctl reset-failed "$unit" 2>/dev/null || true # else systemd counts our attempts with the crashes before
    systemctl start "$unit" >>"$HA_WORDS" 2>&1
    HA_DONE=started
  elif [[ $action == restart ]]; then
    systemctl restart "$unit" >>"$HA_WORDS" 2>&1
    HA_DONE=restarted
  elif [[ $action != none ]]; then
    # a unit without ExecReload (keepalived has one, a oneshot may not) can only be restarted
    systemctl reload-or-restart "$unit" >>"$HA_WORDS" 2>&1
    HA_DONE=reloaded
  fi
}

# ha_await_health DIR: polls until the service is healthy, at most as long as its settings say
ha_await_health() {
  local dir=$1 limit until asked pause
  limit=$(ha_setting "$dir" healthy-within 30)
  until=$((SECONDS + limit))
  : >"$HA_WORDS.health"
  while asked=$(ha_now) && ! ha_is_healthy "$dir" >"$HA_WORDS.health" 2>&1; do
    if ((SECONDS >= until)); then
      HA_UNHEALTHY="not healthy within $limit s"
      return 1
    fi
    # as long as the asking took: on a slow machine it would take the processor from the daemon that it waits for
    pause=$(ha_since "$asked")
    ((${pause%.*} < 5)) || pause=5
    sleep 0.1 "$pause"
  done
}

# Up means active, and still active a moment later: a daemon that dies of its config is "active" for an instant.
ha_is_healthy() {
  local unit
  while IFS= read -r unit; do
    systemctl is-active "$unit" || return 1
  done < <(ha_settings_list "$1" unit)
  if ha_has_hook "$1" healthy; then
    ha_hook "$1" healthy
    return
  fi
  sleep 0.5
  while IFS= read -r unit; do
    systemctl is-active "$unit" || return 1
  done < <(ha_settings_list "$1" unit)
}

# ha_daemon_words SINCE DIR: what the checker, systemctl and the daemon itself said since a time in microseconds
ha_daemon_words() {
  local since=$1 dir=$2 unit
  { cat "$HA_WORDS" "$HA_WORDS.health" 2>/dev/null || true; } | tail -n 20 | ha_quote
  while IFS= read -r unit; do
    journalctl --unit="$unit" --since="@$((since / 1000000))" --output=cat --no-pager --lines=20 2>/dev/null | ha_quote
  done < <(ha_settings_list "$dir" unit)
}
