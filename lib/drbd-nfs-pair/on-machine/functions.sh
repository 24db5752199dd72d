#!/bin/bash
# shellcheck disable=SC2034,SC2153 # the facts come from a file; the hooks use what stands here
# What the hooks of a pair's nodes share.
# shellcheck source=/dev/null
. /etc/cdktf-ha/drbd-nfs

pair_fail() {
  printf '%s\n' "$*" >&2
  exit 1
}

# In the journal too: who served when is looked up there a year later.
pair_note() {
  printf '%s\n' "$*"
  logger --tag cdktf-ha-nfs -- "$*" || true
}

# Connected, WFConnection, StandAlone..., or nothing where DRBD is not up on this node.
pair_connection() { drbdadm cstate "$PAIR_RESOURCE" 2>/dev/null | grep -v '^Unconfigured$' || true; }
# Of this node's copy and the peer's: UpToDate/UpToDate.
pair_disks() { drbdadm dstate "$PAIR_RESOURCE" 2>/dev/null || true; }
# KiB of which the copies are known to differ: not yet copied, or found by a comparison.
pair_out_of_sync() { sed -nE 's/.* oos:([0-9]+).*/\1/p' /proc/drbd | head -n 1; }
# Of a secondary's volume too, which nobody may open.
pair_volume_bytes() { lsblk --bytes --nodeps --noheadings --output SIZE "$PAIR_DEVICE" | tr -d ' '; }
pair_is_up() { [[ -n $(pair_connection) ]]; }

# DRBD has found that the copies have gone apart, and they are not one again: whatever the connection is at this moment.
pair_has_split() {
  local noted=/var/lib/cdktf-ha-nfs/split words
  [[ -e $noted ]] || return 1
  case $(pair_connection) in
    Connected | *Sync* | *BitMap* | Verify* | Ahead | Behind)
      rm --force "$noted"
      return 1
      ;;
    '') # or of a disk that was wiped since
      if ! words=$(drbdadm dump-md "$PAIR_RESOURCE" 2>&1) && [[ ${words,,} == *'no valid meta data found'* ]]; then
        rm --force "$noted"
        return 1
      fi
      ;;
  esac
}

# Before anything is changed by a push.
pair_fail_if_split() {
  ! pair_has_split ||
    pair_fail "the copies have gone apart ($(pair_connection), $(pair_disks)): nothing is changed before a person has decided which one stays; nfs-pair-split shows this side"
}

# Does this node have the volume, so that it serves or is about to?
pair_serves() { mountpoint --quiet "$PAIR_DIRECTORY"; }

# Does Pacemaker know of the pair's resources? From then on it alone starts and stops them.
pair_is_managed() {
  systemctl is-active --quiet pacemaker && cibadmin --query --xpath "//primitive[@id='ha-drbd']" >/dev/null 2>&1
}

# Both nodes' names stand in the partition that this node is in.
pair_sees_both() {
  local members
  members=$(crm_node --partition 2>/dev/null) && [[ " $members " == *" $PAIR_NODE "* && " $members " == *" $PAIR_PEER "* ]]
}

# What a node has told the cluster under a name, as far as it is of this pattern; nothing while it has not.
pair_told() { # NAME NODE PATTERN
  timeout 20 attrd_updater --name "$1" --query --node "$2" 2>/dev/null | sed -nE "s/.* value=\"($3)\".*/\\1/p" || true
}

# Name of the node where a resource runs, or nothing.
pair_where() { # RESOURCE
  crm_resource --quiet --resource "$1" --locate 2>/dev/null | awk 'NR == 1 { print $1 }' || true
}

# DRBD forbids a node to take over as long as its copy is behind, and lifts that when it is whole.
pair_is_fenced() { cibadmin --query --scope constraints | grep "drbd-fence-by-handler-$PAIR_RESOURCE-" >/dev/null; }

# Gives the service to the other node, and waits until that one has it.
pair_hand_over() {
  pair_forbid "$(date --utc --date='15 minutes' '+%Y-%m-%d %H:%M:%SZ')"
  trap 'pair_allow' EXIT
  pair_wait "$PAIR_MOVES_WITHIN" pair_is_handed_over ||
    pair_fail "$PAIR_PEER has not taken over within $PAIR_MOVES_WITHIN s: crm_mon --one-shot shows why"
}
# This node may not serve until then, or until pair_allow: should nobody be left to lift it, it ends by itself. An apply leaves it alone. Not by
# `crm_resource --ban --promoted --lifetime`: it forgets the role then (2.1.5), and DRBD is stopped here before the other one may be promoted.
pair_forbid() {
  pair_allow
  cibadmin --create --scope constraints --xml-text "
    <rsc_location id=\"hand-over\" rsc=\"ha-drbd-clone\">
      <rule id=\"hand-over-rule\" role=\"Promoted\" score=\"-INFINITY\" boolean-op=\"and\">
        <expression id=\"hand-over-node\" attribute=\"#uname\" operation=\"eq\" value=\"$PAIR_NODE\"/>
        <date_expression id=\"hand-over-until\" operation=\"lt\" end=\"$1\"/>
      </rule>
    </rsc_location>"
}
pair_allow() { cibadmin --delete --scope constraints --xml-text '<rsc_location id="hand-over"/>' >/dev/null 2>&1 || true; }
pair_is_handed_over() { [[ $(pair_where ha-vip) == "$PAIR_PEER" ]]; }

# Does a node switch itself off? The package has a file of this name too.
pair_has_watchdog() { grep '^# Managed by cdktf-ha-clusters' /etc/default/sbd >/dev/null 2>&1; }

# Seconds after which this node has certainly reset itself; 0 without a watchdog.
pair_reset_within() {
  if pair_has_watchdog; then echo $((2 * $(sed -n 's/^SBD_WATCHDOG_TIMEOUT=//p' /etc/default/sbd))); else echo 0; fi
}
# Seconds for which the cluster waits until a node has reset itself; nothing where it has never done so. Of a Pacemaker that is stopped: what it
# has written down.
pair_waits_for_reset() {
  local words status=0 written=/var/lib/pacemaker/cib/cib.xml
  if ! systemctl is-active --quiet pacemaker; then
    [[ -e $written ]] || return 0
    local -x CIB_file=$written
  fi
  words=$(cibadmin --query --xpath "//nvpair[@id='ha-properties-stonith-watchdog-timeout']" 2>/dev/null) || status=$?
  # 105: there is none
  ((status == 0 || status == 105)) || return 1
  sed -nE 's/.* value="([0-9]+)s?".*/\1/p' <<<"$words"
}

# pair_wait SECONDS COMMAND...: until the command's status is 0
pair_wait() {
  local until=$((SECONDS + $1))
  shift
  until "$@"; do
    ((SECONDS < until)) || return 1
    sleep 1
  done
}

# pair_fill_volume COMMAND...: what has to be on a volume before anybody serves from it: a file system, unless there is one, what the
# command does while it is mounted, and the directories.
pair_fill_volume() {
  drbdadm primary "$PAIR_RESOURCE"
  trap 'umount "$PAIR_DIRECTORY" 2>/dev/null; drbdadm secondary "$PAIR_RESOURCE"' EXIT
  if [[ -z $(blkid --probe --output value --match-tag TYPE "$PAIR_DEVICE") ]]; then
    pair_note "makes a file system ($PAIR_FILE_SYSTEM) on the volume"
    "mkfs.$PAIR_FILE_SYSTEM" -q "$PAIR_DEVICE"
  fi
  mount --types "$PAIR_FILE_SYSTEM" --options "$PAIR_MOUNT_OPTIONS" "$PAIR_DEVICE" "$PAIR_DIRECTORY"
  "$@"
  bash /usr/local/lib/cdktf-ha/drbd-nfs/directories.sh
  umount "$PAIR_DIRECTORY"
  drbdadm secondary "$PAIR_RESOURCE"
  trap - EXIT
}

if [[ ${PAIR_MANAGER:-} == heartbeat ]]; then
  # shellcheck source-path=SCRIPTDIR source=heartbeat-functions.sh
  . /usr/local/lib/cdktf-ha/drbd-nfs/heartbeat-functions.sh
else
  # shellcheck source-path=SCRIPTDIR source=cluster-key.sh
  . /usr/local/lib/cdktf-ha/drbd-nfs/cluster-key.sh
fi
