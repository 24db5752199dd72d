#!/bin/bash
# Packages, users and directories: what must be there before a config can be checked. None of this is taken back by
# a rollback: a package that is there too much does no harm, one that is taken away might.

# control/packages: NAME VERSION COMMAND, parted by tabs. The version may be empty (any) or a pattern of apt's (2.6.*); where
# there is such a command already, however it came there, the package is not needed. What is there in another version stays
# for now where the command WAITS says so, since Debian's scripts start its daemon anew at once; DIR/upgrade then names it.
ha_install_packages() { # DIR WAITS
  local dir=$1 name version command have missing=() unit masked=() kept=()
  while IFS=$'\037' read -r name version command; do
    [[ -n $command ]] && command -v "$command" >/dev/null && continue
    have=$(dpkg-query --show --showformat='${db:Status-Abbrev}${Version}' "$name" 2>/dev/null || true)
    # shellcheck disable=SC2053 # the version is a pattern
    [[ $have == 'ii '* && (-z $version || ${have#ii } == $version) ]] && continue
    if [[ $have == 'ii '* ]] && "$2"; then kept+=("$name=$version"); else missing+=("$name${version:+=$version}"); fi
  done < <(ha_table "$dir/control/packages")
  if ((${#kept[@]})); then
    printf '%s\n' "${kept[@]}" >"$dir/upgrade"
    ha_say "this node is active: ${kept[*]} waits here until the other nodes have it"
  fi
  ((${#missing[@]})) || return 0
  ha_say "installing ${missing[*]}"
  # Debian starts a daemon as soon as it is installed, with a config that is not ours (Cassandra would join a cluster
  # of its own making). A unit masked in /run cannot start; a reboot forgets the mask, should we be killed here.
  while IFS= read -r unit; do
    systemctl cat "$unit" >/dev/null 2>&1 && continue
    systemctl mask --quiet --runtime "$unit" && masked+=("$unit")
  done < <(ha_settings_list "$dir" unit)
  local log status=0
  log=$(mktemp)
  ha_apt "$log" "${missing[@]}" || status=$?
  if ((${#masked[@]})); then
    systemctl unmask --quiet --runtime "${masked[@]}"
    # the package's own enabling failed against the mask; ours follows in ha_activate
    systemctl daemon-reload
  fi
  if ((status)); then
    tail -n 15 "$log" | ha_quote
    rm -f "$log"
    ha_die "apt-get could not install ${missing[*]}; nothing else was changed"
  fi
  rm -f "$log"
  # a change that waits on the active node must remember it
  HA_PACKAGES_ACTION=$(ha_setting "$dir" on-package-change restart)
  printf 'packages-action=%s\n' "$HA_PACKAGES_ACTION" >>"$dir/control/settings"
}

ha_apt() { # LOG PACKAGE...
  local log=$1 install=(--no-install-recommends --allow-downgrades install)
  shift
  # Only ask the mirrors when what is known already will not do.
  if ! ha_apt_get "$log" --no-install-recommends --simulate install "$@"; then
    ha_apt_get "$log" update || return 1
  fi
  ha_apt_get "$log" "${install[@]}" "$@" ||
    # lists a few days old name versions that the mirror no longer has
    { ha_apt_get "$log" update && ha_apt_get "$log" "${install[@]}" "$@"; }
}

# For dpkg's lock apt waits by itself; for that of its lists, which apt-daily holds after a boot, it does not.
ha_apt_get() { # LOG ARGUMENTS...
  local log=$1 until=$((SECONDS + 300))
  shift
  until apt-get --quiet --yes --option DPkg::Lock::Timeout=300 --option Dpkg::Options::=--force-confold "$@" >"$log" 2>&1; do
    if ! grep -q 'Could not get lock .*/lists/' "$log" || ((SECONDS >= until)); then return 1; fi
    sleep 2
  done
}

# control/users: NAME HOME GROUPS (by commas), parted by tabs: system users without a login
ha_create_users() {
  local name home groups
  while IFS=$'\037' read -r name home groups; do
    if ! getent passwd "$name" >/dev/null; then
      useradd --system --user-group --no-create-home --home-dir "${home:-/nonexistent}" --shell /usr/sbin/nologin "$name" ||
        ha_die "user $name could not be made"
      ha_say "made system user $name"
    fi
    [[ -z $groups ]] || usermod --append --groups "$groups" "$name" || ha_die "user $name could not join $groups"
  done < <(ha_table "$1/control/users")
}

# control/directories: MODE OWNER GROUP PATH, parted by tabs. A directory that leaves the code stays: it may hold data.
ha_create_directories() {
  local mode owner group path
  while IFS=$'\t' read -r mode owner group path; do
    install --directory --mode="$mode" --owner="$owner" --group="$group" "$path" || ha_die "directory $path could not be made"
  done < <(cat "$1/control/directories" 2>/dev/null)
}
