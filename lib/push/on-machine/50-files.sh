#!/bin/bash
# Files: what differs, swapping them in, and putting back what stood there before.

# ha_differs DIR PATH: does the machine differ from what the bundle in DIR says about PATH?
ha_differs() {
  local dir=$1 entry kind mode owner group path
  entry=$(ha_entry "$dir" "$2")
  IFS=$'\t' read -r kind _ mode owner group _ path <<<"$entry"
  if [[ $kind == absent ]]; then
    [[ -e $path || -L $path ]]
    return
  fi
  [[ -f $path && ! -L $path ]] || return 0
  [[ $(stat --format='%a:%U:%G' "$path") == "$((10#$mode)):$owner:$group" ]] || return 0
  ! cmp --silent "$dir/root$path" "$path"
}

# ha_changes STAGED CURRENT: paths this push changes, a line each: ON-CHANGE PATH, parted by a tab. A path that was
# pushed before and has left the code is one of them, with the on-change it had.
ha_changes() {
  local staged=$1 current=$2 on_change path
  while IFS=$'\t' read -r _ _ _ _ _ on_change path; do
    if ha_differs "$staged" "$path"; then printf '%s\t%s\n' "$on_change" "$path"; fi
  done < <(ha_manifest "$staged")
  while IFS=$'\t' read -r _ _ _ _ _ on_change path; do
    [[ -n $(ha_entry "$staged" "$path") ]] || printf '%s\t%s\n' "$on_change" "$path"
  done < <(ha_manifest "$current")
}

# ha_put DIR PATH: the path as the bundle in DIR has it. The new file is complete and on disk before its name is.
ha_put() {
  local dir=$1 kind owner group mode path new
  IFS=$'\t' read -r kind _ mode owner group _ path <<<"$(ha_entry "$dir" "$2")"
  if [[ $kind == absent ]]; then
    rm --force "$path"
    return
  fi
  [[ -d ${path%/*}/ ]] || (umask 022 && mkdir -p "${path%/*}")
  new=$path.cdktf-ha-new
  if ! { cp "$dir/root$path" "$new" && chown "$owner:$group" "$new" && chmod "$mode" "$new" && ha_replace "$new" "$path"; }; then
    rm --force "$new"
    return 1
  fi
}

# ha_put_original PATH: as it was before the first push: the package's own file, or nothing
ha_put_original() {
  local original
  original=$(ha_service_dir)/original$1
  if [[ -e $original || -L $original ]]; then
    cp --archive "$original" "$1.cdktf-ha-new" && ha_replace "$1.cdktf-ha-new" "$1"
  else
    rm --force "$1"
  fi
}

# ha_keep_original PATH: once, before the first change
ha_keep_original() {
  local kept
  kept=$(ha_service_dir)/original
  [[ -e $1 || -L $1 ]] || return 0
  mkdir -p "$kept${1%/*}"
  [[ -e $kept$1 || -L $kept$1 ]] || cp --archive "$1" "$kept$1"
}

# ha_swap STAGED CURRENT < PATHS: files in place, by the list of ha_changes
ha_swap() {
  local staged=$1 current=$2 path
  while IFS=$'\t' read -r _ path; do
    [[ -n $(ha_entry "$current" "$path") ]] || ha_keep_original "$path" || return 1
    if [[ -n $(ha_entry "$staged" "$path") ]]; then ha_put "$staged" "$path"; else ha_put_original "$path"; fi || return 1
  done
}

# ha_restore CURRENT < PATHS: the way back of ha_swap
ha_restore() {
  local current=$1 path status=0
  while IFS=$'\t' read -r _ path; do
    if [[ -n $(ha_entry "$current" "$path") ]]; then ha_put "$current" "$path"; else ha_put_original "$path"; fi || status=1
  done
  return "$status"
}

# ha_edited_by_hand CURRENT: paths that are no longer as they were pushed, a line each
ha_edited_by_hand() {
  local path
  while IFS=$'\t' read -r _ _ _ _ _ _ path; do
    if ha_differs "$1" "$path"; then printf '%s\n' "$path"; fi
  done < <(ha_manifest "$1")
}

# What somebody changed by hand is about to be replaced: keep it, and say where.
ha_keep_edits() {
  local current=$1 path
  while IFS= read -r path; do
    if [[ -e $path ]]; then ha_keep_edit "$path"; else ha_say "$path was removed by hand since the last push"; fi
  done < <(ha_edited_by_hand "$current")
}

ha_keep_edit() { # PATH
  local kept
  kept=$HA_STATE/edited/$HA_SERVICE/$(date --utc +%Y%m%dT%H%M%SZ)
  mkdir -p "$kept${1%/*}"
  cp --archive "$1" "$kept$1"
  ha_say "$1 was changed by hand since the last push; that version is kept as $kept$1"
}

# The same after a push that was interrupted: neither the version before nor the new one, nor what stood there first.
ha_keep_edits_of_interrupted() {
  local service path
  service=$(ha_service_dir)
  while IFS=$'\t' read -r _ path; do
    if [[ -f $path ]] && ha_differs "$service/staged" "$path" && ha_differs "$service/current" "$path" &&
      ! cmp --silent "$path" "$service/original$path"; then
      ha_keep_edit "$path"
    fi
  done <"$service/staged/changes"
}

# ha_in_view STAGED CHANGES COMMAND...: runs a command that sees the staged files at their real paths, while everybody else
# still sees the old ones: a private mount namespace with an overlay on each directory at the top. So a parser checks a
# config together with the certificates and includes that come with it. What it writes (nginx makes directories) is thrown
# away.
ha_in_view() {
  local staged=$1 changes=$2 view status=0
  shift 2
  view=/run/cdktf-ha-view.$HA_SERVICE # not below /var: an overlay cannot lie on its own parent
  rm --recursive --force "$view"      # of a push that was killed
  mkdir "$view"
  cp --archive "$staged/root" "$view/new"
  chmod 755 "$view" "$view/new"
  ha_prepare_view "$staged" "$changes" "$view/new"
  # shellcheck disable=SC2016 # expanded inside
  unshare --mount --propagation private bash -c '
    view=$1; shift
    for top in "$view"/new/*; do
      [[ -d $top ]] || continue
      name=${top##*/}
      mkdir -p "$view/upper/$name" "$view/work/$name"
      chmod --reference="/$name" "$view/upper/$name"
      mount -t overlay overlay -o "lowerdir=$top:/$name,upperdir=$view/upper/$name,workdir=$view/work/$name" "/$name" || exit 125
    done
    exec "$@"' view "$view" "$@" || status=$?
  rm --recursive --force "$view"
  return "$status"
}

# The view's directories look like the machine's, so that a parser that gives up root can walk them; a path that leaves
# is covered by a whiteout.
ha_prepare_view() {
  local staged=$1 changes=$2 view=$3 directory path
  while IFS=$'\t' read -r _ path; do
    if [[ $(ha_entry "$staged" "$path") != fil* && ! -e $(ha_service_dir)/original$path ]]; then
      mkdir -p "$view$(dirname "$path")"
      mknod "$view$path" c 0 0
    fi
  done <"$changes"
  while IFS= read -r directory; do
    if [[ -d ${directory#"$view"} ]]; then
      chown --reference="${directory#"$view"}" "$directory"
      chmod --reference="${directory#"$view"}" "$directory"
    else
      chmod 755 "$directory"
    fi
  done < <(find "$view" -mindepth 1 -type d)
}
