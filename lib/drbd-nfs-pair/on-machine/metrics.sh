#!/bin/bash
# metrics.sh DIRECTORY [volume]: the pair as Prometheus has it, or what is on its volume, in a file for the node exporter's textfile collector.
# Timers run this.
set -uo pipefail
# shellcheck source-path=SCRIPTDIR source=functions.sh
. /usr/local/lib/cdktf-ha/drbd-nfs/functions.sh
file=$1/nfs-pair${2:+-$2}.prom

gauge() { # NAME VALUE [LABELS]
  [[ $1 == "$told" ]] || printf '# TYPE nfs_pair_%s gauge\n' "$1"
  told=$1
  printf 'nfs_pair_%s%s %s\n' "$1" "${3:+{$3\}}" "$2"
}
truth() { if "$@" >/dev/null 2>&1; then echo 1; else echo 0; fi; }
is() { [[ $1 == "$2" ]]; }
split() { is "$connection" StandAlone || pair_has_split; }
quorate() { grep -E '^Quorate: +Yes' <<<"$quorum"; }
third_vote() { pair_shows_third_vote <<<"$quorum"; }

of_pair() {
  local told='' connection disks role quorum
  connection=$(pair_connection) disks=$(pair_disks) quorum=$(pair_quorum)
  role=$(drbdadm role "$PAIR_RESOURCE" 2>/dev/null) || true
  gauge serves "$(truth pair_serves)"
  gauge quorate "$(truth quorate)"
  gauge third_vote "$(truth third_vote)"
  gauge primary "$(truth is "${role%%/*}" Primary)"
  gauge connected "$(truth is "$connection" Connected)"
  gauge split "$(truth split)"
  gauge connection 1 "state=\"${connection:-Unconfigured}\""
  gauge up_to_date "$(truth is "${disks%%/*}" UpToDate)" 'copy="own"'
  gauge up_to_date "$(truth is "${disks##*/}" UpToDate)" 'copy="peer"'
  gauge disk 1 "copy=\"own\",state=\"${disks%%/*}\""
  gauge disk 1 "copy=\"peer\",state=\"${disks##*/}\""
  if [[ -n $connection ]]; then
    gauge out_of_sync_bytes "$((1024 * $(pair_out_of_sync)))"
    gauge volume_bytes "$(pair_volume_bytes)"
  fi
  if read -r moment differs 2>/dev/null </var/lib/cdktf-ha-nfs/verified; then
    gauge verified_timestamp_seconds "$moment"
    gauge verify_difference_bytes "$((1024 * differs))"
  fi
}

# On the node that serves. DRBD freezes the volume when it has to, and nothing ends a process that waits for it: so this has a unit of its own.
of_volume() {
  local told='' unit blocks free available exports quotas
  pair_serves || return 0
  read -r unit blocks free available < <(stat --file-system --format '%S %b %f %a' "$PAIR_DIRECTORY") || return
  gauge volume_used_bytes "$((unit * (blocks - free)))"
  gauge volume_free_bytes "$((unit * available))"
  exports=$(grep '^[1-9]' /etc/cdktf-ha/drbd-nfs-exports) || return 0
  # a line of each number that the file system counts by: #NUMBER USED SOFT HARD..., in KiB
  quotas=$(xfs_quota -x -c 'report -p -N -n -b' "$PAIR_DIRECTORY")
  of_exports export_quota_bytes 3
  of_exports export_used_bytes 1
}
of_exports() { # NAME FIELD
  local project path counted
  while read -r _ project path; do
    read -ra counted < <(grep "^#$project " <<<"$quotas") || continue
    gauge "$1" "$((1024 * counted[$2]))" "export=\"${path##*/}\""
  done <<<"$exports"
}

# as a whole or not at all: the collector may read at any moment
"of_${2:-pair}" >"$file.new" && chmod 644 "$file.new" && mv "$file.new" "$file"
