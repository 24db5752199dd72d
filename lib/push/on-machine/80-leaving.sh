#!/bin/bash
# What leaves: a service that is no longer in the code, a machine that is no longer managed.

# ha_remove_service NAME: its own farewell (decommission, drain), its daemon stopped, what stood there before put back.
# Data directories and packages stay.
ha_remove_service() {
  local current path
  HA_SERVICE=$1
  current=$(ha_service_dir)/current
  ha_recover
  if [[ -d $current ]]; then
    HA_START=$(ha_now)
    ha_keep_edits "$current"
    if ha_has_hook "$current" leave; then
      # its words are shown as they come: a decommission takes its time
      ha_hook "$current" leave 2>&1 | ha_quote || ha_die "the service could not take its leave; it goes on running"
    fi
    ha_end_units < <(ha_units "$current")
    while IFS=$'\t' read -r _ _ _ _ _ _ path; do
      ha_put_original "$path"
    done < <(ha_manifest "$current")
    systemctl daemon-reload
  elif [[ -d $(ha_service_dir)/staged ]]; then
    ha_end_units < <(ha_units "$(ha_service_dir)/staged") # its first push was killed
  fi
  rm --recursive --force "$(ha_service_dir)"
  sed --in-place "/^$HA_SERVICE\$/d" "$HA_STATE/order" 2>/dev/null || true
  ha_say "removed"
}

# In the order in which they came; those last whose first push never came to its end.
ha_services() {
  cat "$HA_STATE/order" 2>/dev/null || true
  find "$HA_STATE/services" -mindepth 1 -maxdepth 1 -printf '%f\n' | grep -vxF --file=<(cat "$HA_STATE/order" 2>/dev/null || true) || true
}

# ha_remove_others NAME...: every service of this machine that is not named; newest first
ha_remove_others() {
  local name
  while IFS= read -r name; do
    [[ " $* " == *" $name "* ]] || ha_remove_service "$name"
  done < <(ha_services | tac)
}

# The machine is no longer managed: all services, newest first, so the firewall is the last to go; or one service leaves a
# machine that stays. With a name: only if the machine is still called so; a host that got a new name in the code leaves
# under the old one and stays.
ha_leave() { # [NAME [SERVICE]]
  local name
  ha_lock
  name=$(cat "$HA_STATE/machine" 2>/dev/null || true)
  if [[ -n ${1-} && -n $name && $name != "$1" ]]; then
    ha_say "this machine is called $name by now: nothing to do for $1"
    return
  fi
  if [[ -n ${2-} ]]; then
    # not there where the machine has left before, with all that it had
    if [[ -d $HA_STATE/services/$2 ]]; then ha_remove_service "$2"; fi
    return
  fi
  ha_remove_others
  rm --force "$HA_STATE/owner" "$HA_STATE/machine" "$HA_STATE/order"
}
