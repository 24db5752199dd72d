# shellcheck shell=bash
# Every machine runs a systemd of its own and needs a cgroup of its own for it, DIRECTORY below:
# ha-lab-<id>/<machine> in each hierarchy. Cgroups are files of the whole computer: no namespace takes them
# away. A directory with processes cannot be removed; an empty one that stays is all a kill -9 can leave.

# The hierarchies that matter to systemd: the one of cgroup v2, or systemd's named one and the unified one of
# a hybrid host. The v1 controllers are read-only inside a machine and need nothing.
cgroup_hierarchies() {
  if [[ $(stat --file-system --format=%T /sys/fs/cgroup) = cgroup2fs ]]; then
    echo /sys/fs/cgroup
  else
    local hierarchy
    for hierarchy in /sys/fs/cgroup/systemd /sys/fs/cgroup/unified; do
      [[ ! -d $hierarchy ]] || echo "$hierarchy"
    done
  fi
}

# cgroup_remove DIRECTORY: in every hierarchy, with all below. Waits up to 5 s for processes that are ending.
cgroup_remove() {
  local hierarchy
  for hierarchy in $(cgroup_hierarchies); do
    for _ in {1..100}; do
      [[ -d $hierarchy/$1 ]] || break
      find "$hierarchy/$1" -depth -type d -exec rmdir {} + 2>/dev/null || sleep 0.05
    done
  done
}

# cgroup_enter DIRECTORY: moves this shell there. Anew on failure: a sweep may remove what is still empty.
cgroup_enter() {
  local hierarchy directory
  for hierarchy in $(cgroup_hierarchies); do
    directory=$hierarchy/$1
    for _ in {1..20}; do
      if mkdir -p "$directory" 2>/dev/null && { echo $$ >"$directory/cgroup.procs"; } 2>/dev/null; then
        continue 2
      fi
      sleep 0.05
    done
    echo "cannot enter the cgroup $directory" >&2
    return 1
  done
}

# cgroup_is_used DIRECTORY: is there any process in it or below, in any hierarchy?
cgroup_is_used() {
  local hierarchy
  for hierarchy in $(cgroup_hierarchies); do
    [[ -d $hierarchy/$1 ]] || continue
    find "$hierarchy/$1" -name cgroup.procs -exec cat {} + 2>/dev/null | grep . >/dev/null && return 0
  done
  return 1
}

# cgroup_labs: the names of all labs that have a cgroup
cgroup_labs() {
  local hierarchy
  for hierarchy in $(cgroup_hierarchies); do
    find "$hierarchy" -maxdepth 1 -name 'ha-lab-*' -printf '%f\n' 2>/dev/null || true
  done | sort --unique
}
