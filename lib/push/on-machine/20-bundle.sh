#!/bin/bash
# The bundle: one text with everything of one service for one machine. Lines that begin with the bundle's mark
# open a section; the mark is a hash of the contents, so no content can hold it.
#
#   MARK settings | MARK control NAME | MARK file INDEX text|base64 | MARK end
#
# A section's text is everything up to the newline before the next mark, to the byte.

# ha_unpack DIR: reads a bundle on standard input
ha_unpack() {
  local dir=$1
  mkdir -p "$dir/control" "$dir/content"
  awk -v dir="$dir" '
    function open_section(word) {
      split($0, word, " ")
      out = ""
      if (word[2] == "settings") out = dir "/control/settings"
      else if (word[2] == "control") out = dir "/control/" word[3]
      else if (word[2] == "file") out = dir "/content/" word[3] (word[4] == "base64" ? ".base64" : "")
      else if (word[2] == "end") complete = 1
      first = 1
      if (out != "") printf "" > out
    }
    NR == 1 { mark = substr($0, 1, index($0, " ")) }
    # index, not a field: a line of a megabyte is not to be split into fields
    index($0, mark) == 1 { if (out != "") close(out); open_section(); next }
    out != "" { printf "%s%s", (first ? "" : "\n"), $0 > out; first = 0 }
    END { exit complete ? 0 : 1 }
  ' || ha_die "the bundle is not complete: it was cut off on its way"
  printf '\n' >>"$dir/control/settings" # the machine adds its own
  local encoded
  for encoded in "$dir"/content/*.base64; do
    [[ -e $encoded ]] || continue
    base64 --decode "$encoded" >"${encoded%.base64}"
    rm "$encoded"
  done
}

# ha_manifest DIR: the files of a bundle, a line each: KIND INDEX MODE OWNER GROUP ON-CHANGE PATH, parted by tabs.
# KIND is `file`, `filled` (a file with placeholders) or `absent` (a path that must not be there).
ha_manifest() { cat "$1/control/manifest" 2>/dev/null || true; }

# ha_entry DIR PATH: the manifest's line of one path, nothing if it has none
# It starts no process: for each file it is asked several times.
ha_entry() {
  local line
  [[ -e $1/control/manifest ]] || return 0
  while IFS= read -r line; do
    if [[ $line == *$'\t'"$2" ]]; then printf '%s\n' "$line"; fi
  done <"$1/control/manifest"
}

# ha_table FILE: a list of fields parted by tabs, with \037 between them: to `read` two tabs are one, and the fields behind
# an empty one would move up.
ha_table() { [[ ! -e $1 ]] || tr '\t' '\037' <"$1"; }

# ha_build_root DIR: the files under their own paths, filled in, with their owners and modes
ha_build_root() {
  local dir=$1 kind index mode owner group path
  mkdir -p "$dir/root"
  while IFS=$'\t' read -r kind index mode owner group _ path; do
    [[ $kind != absent ]] || continue
    mkdir -p "$dir/root${path%/*}"
    if [[ $kind == filled ]]; then
      ha_fill "$dir" "$dir/content/$index" "$dir/root$path" || ha_die "$path could not be filled in"
    else
      mv "$dir/content/$index" "$dir/root$path"
    fi
    chown "$owner:$group" "$dir/root$path" || ha_die "$path: there is no user $owner or no group $group"
    chmod "$mode" "$dir/root$path"
  done < <(ha_manifest "$dir")
  rm -r "$dir/content"
}

# ha_fingerprint DIR: one hash for everything that came, secrets included; keyed with a value that never leaves this
# machine, because the fingerprint stands in files and answers that more people can read than the secrets.
ha_fingerprint() {
  local key
  key=$(ha_secret_generated fingerprint-key 32) || return
  {
    printf '%s\n' "$key"
    (cd "$1" && find control content secrets -type f -print0 | sort --zero-terminated | xargs --null sha256sum) | sha256sum
  } | sha256sum | cut --characters 1-32
}
