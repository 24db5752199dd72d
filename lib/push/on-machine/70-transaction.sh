#!/bin/bash
# The transaction: lock, stage, check, keep the last good version, swap, activate, wait for health; else back to the last
# good version, and the daemon's own words. Killed anywhere, it leaves `phase` behind, and the next push starts by going
# back to the last good files.

# ha_push DIR: DIR is the incoming directory; the bundle comes on standard input
ha_push() {
  local incoming=$1 service staged current fingerprint
  HA_WORDS=$incoming/words
  : >"$HA_WORDS"
  mkdir -p "$incoming/bundle"
  ha_unpack "$incoming/bundle"
  HA_SERVICE=$(ha_setting "$incoming/bundle" service)
  HA_MACHINE=$(ha_setting "$incoming/bundle" machine)
  ha_lock
  service=$(ha_service_dir) staged=$service/staged current=$service/current
  ha_check_owner "$incoming/bundle"
  rm --force /run/cdktf-ha-dissolve # whoever is pushed to does not go away with all the others
  ha_recover
  if [[ -n $(ha_setting "$incoming/bundle" services) ]]; then
    # shellcheck disable=SC2046 # names, parted by spaces
    ha_remove_others $(ha_setting "$incoming/bundle" services)
    HA_SERVICE=$(ha_setting "$incoming/bundle" service)
  fi
  rm --recursive --force "$staged" "$service/pending" "$service/unconfirmed"
  mkdir -p "$service"
  mv "$incoming/bundle" "$staged"
  HA_PACKAGES_ACTION=none
  ha_install_packages "$staged" ha_waits
  ha_gather_secrets "$staged" "$incoming/uploaded"
  fingerprint=$(ha_fingerprint "$staged")
  printf 'fingerprint=%s\n' "$fingerprint" >>"$staged/control/settings"
  ha_create_users "$staged"
  ha_create_directories "$staged"
  ha_build_root "$staged"
  ha_changes "$staged" "$current" >"$staged/changes"
  if [[ ! -e $staged/upgrade ]]; then
    if [[ ! -s $staged/changes && $HA_PACKAGES_ACTION == none && ! -e $service/phase && -z $(ha_leaving_units) ]] && ha_unchanged; then
      return 0
    fi
    ha_check_staged # by the program that will read them: what waits with its package is checked when that is there
  fi
  ha_keep_edits "$current"
  if [[ -e $staged/upgrade ]] || ha_waits; then
    mv "$staged" "$service/pending"
    ha_say "this node is active: the change waits here until the other nodes have it"
    return 0
  fi
  ha_apply
}

# One stack manages a machine: two would take each other's firewall and files away in turn.
ha_check_owner() {
  local owner have
  owner=$(ha_setting "$1" owner)
  have=$(cat "$HA_STATE/owner" 2>/dev/null || printf '%s' "$owner")
  [[ $have == "$owner" ]] || ha_die "this machine is managed by $have, not by $owner. If that is to change, run on the machine: cdktf-ha release"
  printf '%s\n' "$owner" >"$HA_STATE/owner"
  printf '%s\n' "$HA_MACHINE" >"$HA_STATE/machine"
}

# A transaction was killed half way (power, kill -9): its files are a mixture. Back to the last good ones; the daemon is
# not touched, the push that follows does that.
ha_recover() {
  local service
  service=$(ha_service_dir)
  case $(cat "$service/phase" 2>/dev/null) in
    '' | "$HA_UNHEALTHY_PHASE") return 0 ;;
    "$HA_COMMITTING")
      ha_finish_commit
      return 0
      ;;
  esac
  ha_say "an earlier push was interrupted ($(<"$service/phase")); its files go back to the last good version first"
  ha_restore_interrupted
}

# Once: afterwards what stands there is the last good version, and what somebody writes over it is a change by hand.
ha_restore_interrupted() {
  local service
  service=$(ha_service_dir)
  rm --force "$service/reserve"
  [[ -s $service/staged/changes ]] || return 0
  ha_keep_edits_of_interrupted
  ha_restore "$service/current" <"$service/staged/changes" || ha_die "the last good files could not be put back"
  ha_note_interrupted
}

# The daemon may have read any of these files: what they ask for is asked for again by the next push.
ha_note_interrupted() {
  local service
  service=$(ha_service_dir)
  cat "$service/staged/changes" >>"$service/interrupted-changes"
  rm "$service/staged/changes"
}

ha_unchanged() {
  local service
  service=$(ha_service_dir)
  ha_is_healthy "$service/staged" >/dev/null 2>&1 || {
    ha_say "files are as they should be, but the service is not healthy"
    return 1
  }
  ha_commit
  ha_say "nothing to change, healthy"
}

ha_check_staged() { # [WHAT IS SO IF THEY ARE REFUSED]
  local staged start status=0
  staged=$(ha_service_dir)/staged
  ha_has_hook "$staged" check || return 0
  start=$(ha_now)
  ha_in_view "$staged" "$staged/changes" env HA_DIR="$staged" bash -euo pipefail "$staged/control/check" >"$HA_WORDS" 2>&1 || status=$?
  if ((status)); then
    ha_quote <"$HA_WORDS"
    ha_die "the new files were refused by $(ha_setting "$staged" checker 'their checker'); ${1-nothing was changed}"
  fi
  ha_say "checked by $(ha_setting "$staged" checker 'its checker') in $(ha_since "$start") s"
}

# The standby first: what changes on the node that serves waits for the others.
ha_waits() {
  local service
  service=$(ha_service_dir)
  [[ $(ha_setting "$service/staged" defer) == yes && -d $service/current ]] && ha_is_active_node
}

# Does this node serve right now (hold the virtual IP, lead)? Only a daemon that is up can.
ha_is_active_node() { ha_hook "$(ha_service_dir)/staged" active </dev/null >/dev/null 2>&1; }

# ha_apply: from staged and checked to healthy, or back
ha_apply() {
  local service staged current action paths
  service=$(ha_service_dir) staged=$service/staged current=$service/current
  HA_START=$(ha_now)
  printf 'changing files\n' >"$service/phase"
  sync "$service/phase" "$service" "$staged/changes"
  paths=$(wc -l <"$staged/changes")
  ha_reserve
  ha_end_units < <(ha_leaving_units)
  ha_swap "$staged" "$current" <"$staged/changes" || ha_back "files could not be written"
  printf 'activating\n' >"$service/phase"
  printf '%s\t(packages)\n' "$HA_PACKAGES_ACTION" >"$staged/packages-changes"
  action=$(ha_action "$staged/changes" "$staged/packages-changes" "$service/interrupted-changes")
  if ha_has_hook "$staged" drain && [[ $action != none ]]; then
    ha_hook "$staged" drain >"$HA_WORDS" 2>&1 || ha_back "the node could not be drained"
    ha_say "drained"
  fi
  ha_activate "$staged" "$action" "$staged/changes" || ha_back "$action failed"
  ha_await_health "$staged" || ha_back "$HA_UNHEALTHY"
  if ha_has_hook "$staged" settle; then
    ha_hook "$staged" settle HA_PREVIOUS="$current" >"$HA_WORDS" 2>&1 || ha_back "the daemon refused what it was told"
  fi
  if ha_has_hook "$staged" undrain; then
    ha_hook "$staged" undrain >"$HA_WORDS" 2>&1 || ha_back "the node could not be brought back after draining"
  fi
  HA_DRAINED=''
  if [[ $(ha_setting "$staged" confirm) == yes ]]; then
    ha_arm_rollback
    ha_say "$HA_DONE, $(ha_count "$paths" file) changed; waits to be confirmed over a new connection"
    return
  fi
  ha_commit
  ha_say "$HA_DONE, $(ha_count "$paths" file) changed, healthy after $(ha_since "$HA_START") s"
}

# Room for the way back, should the disk fill up meanwhile: no less than what may have to be written.
ha_reserve() {
  local service bytes=65536 path size
  service=$(ha_service_dir)
  while IFS=$'\t' read -r _ path; do
    size=$(stat --format=%s "$service/current/root$path" 2>/dev/null || stat --format=%s "$path" 2>/dev/null || printf 0)
    bytes=$((bytes + size + 4096))
  done <"$service/staged/changes"
  rm --force "$service/reserve"
  # a file system that cannot reserve takes zeros
  if ! fallocate --length "$bytes" "$service/reserve" 2>/dev/null && ! head -c "$bytes" /dev/zero >"$service/reserve"; then
    rm --force "$service/reserve" "$service/phase"
    ha_die "the disk has no $((bytes / 1024)) KiB left for the way back; nothing was changed"
  fi
}

# From the first line on the new version is the good one, whatever interrupts the rest: it is gone on with.
HA_COMMITTING=committing HA_UNHEALTHY_PHASE='the last good version is not healthy'
ha_commit() {
  local service
  service=$(ha_service_dir)
  rm --recursive --force "$service/staged/secrets" "$service/reserve" # the secrets are in the files
  find "$service/staged" -exec sync {} +
  printf '%s\n' "$HA_COMMITTING" >"$service/phase"
  sync "$service/phase" "$service"
  ha_finish_commit
}

ha_finish_commit() {
  local service
  service=$(ha_service_dir)
  if [[ -d $service/staged ]]; then
    rm --recursive --force "$service/previous"
    [[ ! -d $service/current ]] || mv "$service/current" "$service/previous" || ha_die "$service: the last version could not be put aside"
    mv "$service/staged" "$service/current" || ha_die "$service: the new version could not be kept as the good one"
    sync "$service"
  fi
  grep -qxF "$HA_SERVICE" "$HA_STATE/order" 2>/dev/null || printf '%s\n' "$HA_SERVICE" >>"$HA_STATE/order"
  rm --recursive --force "$service/pending" "$service/interrupted-changes"
  rm --force "$service/phase"
  rm --recursive --force "$service/previous"
}

# ha_back REASON: the last good version again, running again, and the apply fails with the reason
ha_back() {
  local reason=$1 service
  set +e # on the way back nothing may stop half way
  service=$(ha_service_dir)
  ha_say "FAILED: $reason"
  ha_daemon_words "${HA_START:-$(ha_now)}" "$service/staged"
  ha_roll_back
  exit 1
}

ha_roll_back() {
  local service staged current action
  service=$(ha_service_dir) staged=$service/staged current=$service/current
  rm --force "$service/reserve"
  printf 'going back\n' >"$service/phase"
  [[ -d $current ]] || ha_end_units < <(ha_units "$staged") # while their files still say how
  ha_restore "$current" <"$staged/changes" || ha_die "the last good files could not all be put back; the next push tries again"
  if [[ ! -d $current ]]; then
    systemctl daemon-reload
    rm --force "$service/phase"
    ha_say "this was the first push of this service: everything is as it was before, the service is stopped"
    return
  fi
  action=$(ha_action "$staged/changes" "$service/interrupted-changes")
  if ha_activate "$current" "$action" "$staged/changes" && ha_await_health "$current"; then
    rm --force "$service/phase" "$service/interrupted-changes"
    ha_say "back on the last good version, which is healthy"
  else
    printf '%s\n' "$HA_UNHEALTHY_PHASE" >"$service/phase"
    ha_note_interrupted
    ha_say "the last good version is in place, but it is not healthy either"
    ha_daemon_words "$HA_START" "$current"
  fi
}

# ha_units DIR: what is enabled and started for a version of a service
ha_units() {
  ha_settings_list "$1" unit
  ha_settings_list "$1" boot-unit
}

# What ran for the last version, and is of no version of any service now: it ends while its files still say how.
ha_leaving_units() {
  local service other
  service=$(ha_service_dir)
  comm -23 <(ha_units "$service/current" | sort --unique) <(
    for other in "$service/staged" "$HA_STATE"/services/*/current; do
      [[ $other == "$service/current" ]] || ha_units "$other"
    done | sort --unique
  )
}

ha_end_units() { # names on standard input
  local unit ended=
  while IFS= read -r unit; do
    ended=yes
    systemctl disable --quiet --now "$unit" >/dev/null 2>&1 || true
    systemctl reset-failed "$unit" 2>/dev/null || true # how it ended is in the journal; nothing of ours stays on the machine's list
  done
  [[ -z $ended ]] || systemctl daemon-reload
}

HA_UNCONFIRMED_PHASE='waiting to be confirmed'
# A change that can lock us out (the firewall) goes back by itself unless a new connection says it works.
ha_arm_rollback() {
  local seconds
  seconds=$(ha_setting "$(ha_service_dir)/staged" confirm-within 60)
  printf '%s\n' "$HA_UNCONFIRMED_PHASE" >"$(ha_service_dir)/phase"
  cp "$HA_PROGRAM" "$(ha_service_dir)/rollback"
  systemctl stop "cdktf-ha-rollback-$HA_SERVICE.timer" 2>/dev/null || true
  systemd-run --quiet --collect --on-active="$seconds" --timer-property=AccuracySec=100ms \
    --unit="cdktf-ha-rollback-$HA_SERVICE" --setenv=HA_MACHINE="$HA_MACHINE" \
    /bin/bash "$(ha_service_dir)/rollback" rollback "$HA_SERVICE" ||
    ha_back "the timed rollback could not be armed"
}

# ha_confirm SERVICE
ha_confirm() {
  HA_SERVICE=$1
  ha_lock
  [[ ! -e $(ha_service_dir)/unconfirmed ]] || ha_die "no new connection came in time: the change was taken back"
  [[ $(cat "$(ha_service_dir)/phase" 2>/dev/null) == "$HA_UNCONFIRMED_PHASE" ]] || return 0
  systemctl stop "cdktf-ha-rollback-$HA_SERVICE.timer" 2>/dev/null || true
  rm --force "$(ha_service_dir)/rollback"
  ha_commit
  ha_say "confirmed over a new connection"
}

# ha_timed_rollback SERVICE
ha_timed_rollback() {
  HA_SERVICE=$1
  ha_lock
  [[ $(cat "$(ha_service_dir)/phase" 2>/dev/null) == "$HA_UNCONFIRMED_PHASE" ]] || return 0
  HA_START=$(ha_now) HA_WORDS=$(ha_service_dir)/rollback-words
  ha_say "nobody confirmed the change in time: going back"
  : >"$(ha_service_dir)/unconfirmed"
  ha_roll_back
  rm --force "$(ha_service_dir)/rollback" "$HA_WORDS"*
}

# ha_complete SERVICE...: what waited on the active node
ha_complete() {
  local incoming=$1
  shift
  HA_WORDS=$incoming/words
  ha_lock
  for HA_SERVICE in "$@"; do
    local service
    service=$(ha_service_dir)
    if [[ -d $service/pending ]]; then
      HA_LOG_FROM=$(($(wc --lines <"$incoming/log") + 1))
      ha_recover
      # what waits is there until it is done: a completion that fails is begun again by the next apply
      rm --recursive --force "$service/staged"
      cp --archive "$service/pending" "$service/staged"
      HA_PACKAGES_ACTION=$(ha_setting "$service/staged" packages-action none)
      if [[ -e $service/staged/upgrade ]]; then ha_upgrade; fi
      ha_changes "$service/staged" "$service/current" >"$service/staged/changes"
      if [[ -e $service/staged/upgrade ]]; then ha_check_staged "the packages are the new ones, the files are as they were"; fi
      ha_keep_edits "$service/current"
      ha_apply
      ha_keep_log
    else
      ha_say "nothing waits here"
    fi
  done
}

# The packages that waited on the active node.
ha_upgrade() {
  local staged
  staged=$(ha_service_dir)/staged
  if ha_has_hook "$staged" drain; then
    HA_DRAINED=yes
    ha_hook "$staged" drain >"$HA_WORDS" 2>&1 || {
      ha_quote <"$HA_WORDS"
      ha_die "the node could not be drained; nothing was changed"
    }
    ha_say "drained"
  fi
  # should this be killed, the next one finds the package there
  HA_PACKAGES_ACTION=$(ha_setting "$staged" on-package-change restart)
  ha_install_packages "$staged" false
}
