#!/bin/bash
# shellcheck disable=SC2154 # the facts come from a file
# The directories that lie on this machine's data volume: each is a directory of the volume, mounted where its daemon looks for it.
# shellcheck source=/dev/null
. /etc/cdktf-ha/volume
fail() {
  printf '%s\n' "$*" >&2
  exit 1
}

bash /usr/local/lib/cdktf-ha/volume.sh "$VOLUME_ID" "$VOLUME_DEVICE" "$VOLUME_LABEL" "$VOLUME_DIRECTORY" "$VOLUME_UNIT"
while read -r name directory unit; do
  if mountpoint --quiet "$directory"; then continue; fi
  # a package brings empty directories, and no more
  [[ -z $(find "$directory" -not -type d -print -quit 2>/dev/null) ]] ||
    fail "$directory holds files, which the volume would cover: let this machine leave its cluster, and come back with its volume"
  if [[ ! -e $VOLUME_DIRECTORY/$name ]]; then
    mkdir "$VOLUME_DIRECTORY/$name"
    if [[ -e $directory ]]; then
      chown --reference="$directory" "$VOLUME_DIRECTORY/$name"
      chmod --reference="$directory" "$VOLUME_DIRECTORY/$name"
    fi
  fi
  mkdir -p "$directory"
  systemctl enable --now --quiet "$unit"
done <<<"$VOLUME_KEPT"
