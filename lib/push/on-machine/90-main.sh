#!/bin/bash
# The program's verbs. Terraform's provisioner runs `submit` (with a bundle on standard input), `confirm` and
# `complete`; installed on the machine as `cdktf-ha` it answers an operator.

ha_usage() {
  cat <<'TEXT'
usage: cdktf-ha COMMAND
  status     services pushed to this machine, and whether they are healthy
  verify     files that are no longer as they were pushed; exit status 1 if there are any
  log NAME   what the last push of a service said
  release    let another stack manage this machine; nothing else changes
  leave      stop and remove everything that was pushed; data and packages stay
  dissolve   say, for a quarter of an hour, that what leaves is not one member but all: nobody hands anything over to the others
TEXT
}

ha_main() {
  local verb=${1:-help}
  shift || true
  case $verb in
    help | --help | -h)
      ha_usage
      return
      ;;
    status | verify | log | release | leave | leave-service | dissolve | submit | verdict | complete | confirm | run | run-complete | run-leave | rollback | recover) ;;
    *)
      ha_usage >&2
      return 2
      ;;
  esac
  if ((EUID)); then ha_become_root "$verb" "$@"; fi
  mkdir -p "$HA_STATE/services" "$HA_STATE/incoming"
  "ha_verb_$verb" "$@"
}

# The login user's own directory is remembered: the secrets were uploaded there.
ha_become_root() {
  sudo --non-interactive true 2>/dev/null || ha_die "user $(id -un) cannot become root: sudo without a password is needed"
  exec sudo --non-interactive HA_UPLOADS="$HOME/.cdktf-ha" HA_MACHINE="$HA_MACHINE" HA_SERVICE="$HA_SERVICE" /bin/bash "$HA_PROGRAM" "$@"
}

# The work is handed to systemd and only watched from here: a cable cut, a killed terraform or a closed session must not
# stop a transaction half way.
ha_hand_over() { # UPLOADED VERB ARGUMENTS...
  local uploaded=$1 verb=$2 id incoming pid
  shift 2
  ha_sweep_incoming
  incoming=$(mktemp --directory "$HA_STATE/incoming/XXXXXXXX")
  id=${incoming##*/}
  cp "$HA_PROGRAM" "$incoming/program"
  if [[ -n $uploaded && -e $uploaded ]]; then mv "$uploaded" "$incoming/uploaded"; fi
  : >"$incoming/log"
  systemd-run --quiet --collect --unit="cdktf-ha-push-$id" --service-type=exec \
    --setenv=HA_MACHINE="$HA_MACHINE" --setenv=HA_SERVICE="$HA_SERVICE" \
    --property=StandardOutput="append:$incoming/log" --property=StandardError="append:$incoming/log" \
    /bin/bash "$incoming/program" "$verb" "$incoming" "$@" </dev/null || ha_die "systemd-run could not start the push"
  pid=$(systemctl show --property=MainPID --value "cdktf-ha-push-$id")
  if ((${pid:-0})); then
    tail --lines=+1 --follow --sleep-interval=0.1 --pid="$pid" "$incoming/log"
  else
    cat "$incoming/log" # already done
  fi
  local result
  result=$(cat "$incoming/result" 2>/dev/null || printf 'killed')
  rm --recursive --force "$incoming"
  [[ $result != killed ]] || ha_say "FAILED: the push was killed on the machine"
  [[ $result == 0 ]]
}

# Left by a session that was cut off while it watched.
ha_sweep_incoming() {
  local old
  while IFS= read -r old; do
    systemctl is-active --quiet "cdktf-ha-push-${old##*/}" || rm --recursive --force "$old"
  done < <(find "$HA_STATE/incoming" -mindepth 1 -maxdepth 1 -mmin +5)
}

# With a bundle on standard input; `run`, in systemd, reads it from its own copy of this program. With `later`, a failure
# is only told by `verdict`: the node has to go back to its load balancers in between.
ha_verb_submit() { # SERVICE [later]
  local status=0
  ha_hand_over "${HA_UPLOADS:-$HOME/.cdktf-ha}/$1" run || status=$?
  [[ ${2-} == later ]] || return "$status"
  printf '%s\n' "$status" >"$HA_STATE/verdict-$1"
}

ha_verb_verdict() {
  local status
  status=$(<"$HA_STATE/verdict-$1")
  rm --force "$HA_STATE/verdict-$1"
  ((status == 0)) || ha_die "the push failed, see above; the node is back at its load balancers with the last good version"
}

ha_verb_complete() { ha_hand_over '' run-complete "$@"; }

ha_verb_run() {
  HA_INCOMING=$1 HA_LOG_FROM=new
  trap ha_on_exit EXIT
  ha_push "$1"
}

ha_verb_run-complete() {
  HA_INCOMING=$1 HA_LOG_FROM=''
  trap ha_on_exit EXIT
  ha_complete "$@"
}

# However the transaction ends: no secret stays in a staging directory, and the result is there to be read.
ha_on_exit() {
  local status=$?
  rm --force "$HA_INCOMING/uploaded"
  if [[ -n $HA_SERVICE ]]; then
    if [[ ${HA_DRAINED-} ]] && ha_has_hook "$(ha_service_dir)/staged" undrain; then
      ha_hook "$(ha_service_dir)/staged" undrain >/dev/null 2>&1 || ha_say "the node could not be brought back after draining"
    fi
    rm --recursive --force "$(ha_service_dir)/staged/secrets"
    ha_keep_log
  fi
  printf '%s\n' "$status" >"$HA_INCOMING/result"
}

# For `cdktf-ha log`: what was said of the service since the push began; a completion's words come after the push's own.
ha_keep_log() {
  local log
  log=$(ha_service_dir)/last-push.log
  case $HA_LOG_FROM in
    '') ;;
    new) cp "$HA_INCOMING/log" "$log" 2>/dev/null || true ;;
    *) tail --lines="+$HA_LOG_FROM" "$HA_INCOMING/log" >>"$log" 2>/dev/null || true ;;
  esac
  HA_LOG_FROM=''
}

ha_verb_confirm() { ha_confirm "$1"; }

ha_verb_rollback() { ha_timed_rollback "$1"; }

# At boot, before anything of ours starts: a power cut in the middle of a push must not boot into half a config.
ha_verb_recover() {
  local phase
  for phase in "$HA_STATE"/services/*/phase; do
    [[ -e $phase ]] || continue
    HA_SERVICE=$(basename "$(dirname "$phase")")
    case $(<"$phase") in
      "$HA_UNHEALTHY_PHASE") continue ;;
      "$HA_COMMITTING")
        ha_finish_commit
        ha_say "a push was interrupted at its end; what it brought was healthy and stays"
        continue
        ;;
    esac
    ha_restore_interrupted
    ha_say "a push was interrupted ($(<"$phase")); the last good files are back"
    printf 'power cut or reboot\n' >"$phase"
  done
  systemctl daemon-reload
}

ha_verb_leave() { # [NAME]
  HA_SERVICE=machine
  HA_MACHINE=$(cat "$HA_STATE/machine" 2>/dev/null || uname -n)
  ha_hand_over '' run-leave "$@"
}

ha_verb_leave-service() { # NAME SERVICE
  HA_SERVICE=$2 HA_MACHINE=$1
  ha_hand_over '' run-leave "$@"
}

ha_verb_run-leave() { # INCOMING [NAME [SERVICE]]
  HA_INCOMING=$1 HA_LOG_FROM=''
  trap ha_on_exit EXIT
  shift
  ha_leave "$@"
}

# In /run: whoever reboots has thought better of it. See the leave hooks of services that hand over.
ha_verb_dissolve() { : >/run/cdktf-ha-dissolve; }

ha_verb_release() {
  ha_lock
  rm --force "$HA_STATE/owner"
}

ha_verb_status() {
  local unit edited
  printf 'managed by %s\n' "$(cat "$HA_STATE/owner" 2>/dev/null || printf 'nobody')"
  while IFS= read -r HA_SERVICE; do
    local dir health=healthy waiting=''
    dir=$(ha_service_dir)
    ha_is_healthy "$dir/current" >/dev/null 2>&1 || health='NOT HEALTHY'
    [[ ! -d $dir/pending ]] || waiting=', a change waits for the other nodes'
    case $(cat "$dir/phase" 2>/dev/null) in
      '') ;;
      "$HA_UNHEALTHY_PHASE") waiting+=", $HA_UNHEALTHY_PHASE" ;;
      "$HA_UNCONFIRMED_PHASE") waiting+=', a change waits to be confirmed over a new connection, else it goes back' ;;
      *) if ha_is_locked; then waiting+=", a push is at work ($(<"$dir/phase"))"; else waiting+=", a push was interrupted ($(<"$dir/phase"))"; fi ;;
    esac
    edited=$(ha_edited_by_hand "$dir/current" | wc -l)
    ((edited == 0)) || waiting+=", $(ha_count "$edited" file) changed by hand (cdktf-ha verify)"
    unit=$(ha_settings_list "$dir/current" unit | paste --serial --delimiters=' ')
    printf '%-20s %s%s%s\n' "$HA_SERVICE" "$health" "${unit:+ ($unit)}" "$waiting"
  done < <(cat "$HA_STATE/order" 2>/dev/null)
}

ha_verb_verify() {
  local path found=0
  while IFS= read -r HA_SERVICE; do
    while IFS= read -r path; do
      printf '%s: %s\n' "$HA_SERVICE" "$path"
      found=1
    done < <(ha_edited_by_hand "$(ha_service_dir)/current")
  done < <(cat "$HA_STATE/order" 2>/dev/null)
  return "$found"
}

ha_verb_log() { cat "$(ha_service_dir "${1:?NAME of a service}")/last-push.log"; }
