#!/bin/bash
# shellcheck disable=SC2034,SC2153 # the facts come from a file; the hooks use what stands here
# What a Cassandra node's hooks and programs share. The facts are in RING_ETC/ring (who is there) and RING_ETC/launch (what
# the daemon is started with: a change of that one is a restart).
RING_LIB=/usr/local/lib/cdktf-ha/cassandra
RING_ETC=/etc/cassandra/cdktf-ha
RING_YAML=/etc/cassandra/cassandra.yaml
RING_UNIT=cassandra.service
# shellcheck source=/dev/null
. "$RING_ETC/ring"
# shellcheck source=/dev/null
. "$RING_ETC/launch"
# The node's own memory of what it is. It lies with the data: a node without data has no memory.
RING_MARKER=$RING_DATA/cdktf-ha-node
RING_FIRST=$RING_DATA/first-start
# Status of stores.sh where there was nothing to do: a failure is something else.
RING_UNCHANGED=3
RING_STARTED_WITH=/run/cassandra/started-with

ring_fail() {
  printf '%s\n' "$*" >&2
  exit 1
}

# In the journal too: a repair or a decommission is looked up there a year later.
ring_note() {
  printf '%s\n' "$*"
  logger --tag cdktf-ha-cassandra -- "$*" || true
}

ring_nodetool() { "$RING_LIB/nodetool" "$@"; }
ring_cql() { python3 -B "$RING_LIB/ring.py" "$@"; }

# ring_open ADDRESS PORT: does somebody listen there?
# shellcheck disable=SC2016 # expanded inside
ring_open() { timeout 2 bash -c 'exec 3<>"/dev/tcp/$1/$2"' _ "$1" "$2" 2>/dev/null; }

# ring_probe ADDRESS: open, where a node of the ring listens for others; refused, where a machine says that nobody does; silent,
# where nothing is known. A release that has a port of its own for TLS listens on one of the two.
ring_probe() {
  local port words status answer=refused
  for port in $RING_STORAGE_PORTS; do
    status=0
    # shellcheck disable=SC2016 # expanded inside
    words=$(LC_ALL=C timeout 5 bash -c 'exec 3<>"/dev/tcp/$1/$2"' _ "$1" "$port" 2>&1) || status=$?
    if ((status == 0)); then
      printf open
      return
    fi
    [[ $words == *"Connection refused"* ]] || answer=silent
  done
  printf '%s' "$answer"
}

# Certificates as Java reads them; status 1 where they are made already. Ends with stores.sh where that fails.
ring_make_stores() {
  local status=0
  bash "$RING_LIB/stores.sh" || status=$?
  case $status in
    0 | "$RING_UNCHANGED") return $((status != 0)) ;;
    *) exit "$status" ;;
  esac
}

# Addresses of the other nodes in the code, a line each.
ring_other_addresses() {
  local name address
  while read -r name address _; do
    [[ $name == "$RING_NODE" ]] || printf '%s\n' "$address"
  done <<<"$RING_NODES"
}

# STATE ADDRESS of every node that the ring knows, as this node sees it: UN is up and normal, J joining, L leaving, M moving.
ring_states() { ring_nodetool status 2>/dev/null | awk '/^[UD?][NJLM] / { print $1, $2 }'; }

# Java -----------------------------------------------------------------------------------------------------------------

ring_java_major() { "$1" -XX:TieredStopAtLevel=1 -version 2>&1 | sed -nE 's/.* version "(1\.)?([0-9]+).*/\2/p' | head -n 1; }

# Into RING_JAVA and RING_JAVA_MAJOR: a Java that this release runs on.
ring_find_java() {
  local candidate major seen=()
  local -a candidates=()
  if [[ -n $RING_JAVA_HOME ]]; then
    candidates=("$RING_JAVA_HOME/bin/java")
  else
    for major in $RING_JAVA_MAJORS; do candidates+=(/usr/lib/jvm/java-"$major"-*/bin/java /usr/lib/jvm/*-"$major"-*/bin/java); done
    candidates+=("$(command -v java || true)")
  fi
  for candidate in "${candidates[@]}"; do
    [[ -x $candidate ]] || continue
    major=$(ring_java_major "$candidate")
    if [[ " $RING_JAVA_MAJORS " == *" $major "* ]]; then
      RING_JAVA=$candidate RING_JAVA_MAJOR=$major
      return
    fi
    seen+=("$candidate is Java $major")
  done
  ring_fail "Cassandra $RING_RELEASE runs on Java ${RING_JAVA_MAJORS// / or }; this machine has none (${seen[*]:-no Java at all})"
}

# The options of the file that hold for this Java, into RING_OPTIONS.
ring_read_options() {
  local line section=all
  RING_OPTIONS=()
  while IFS= read -r line || [[ -n $line ]]; do
    case $line in
      '' | '#'*) ;;
      '['*) section=${line//[\[\]]/} ;;
      *)
        if [[ $section == all ]] || { [[ $section == 8 ]] && ((RING_JAVA_MAJOR == 8)); } ||
          { [[ $section == 11 ]] && ((RING_JAVA_MAJOR >= 11)); }; then
          RING_OPTIONS+=("$line")
        fi
        ;;
    esac
  done </etc/cassandra/jvm.options
}

# What tools are run with, into RING_TOOL_OPTIONS: the insides of Java that are open to the daemon are open to them.
ring_read_tool_options() {
  local option
  ring_read_options
  RING_TOOL_OPTIONS=(-XX:+UseSerialGC -XX:TieredStopAtLevel=1 -Dcassandra.config="file://$RING_YAML" -Dcassandra.storagedir="$RING_DATA"
    -Dlogback.configurationFile=file:///etc/cassandra/logback-tools.xml -cp "$(ring_class_path)")
  for option in "${RING_OPTIONS[@]}"; do
    if [[ $option == --add-* ]]; then RING_TOOL_OPTIONS+=("$option"); fi
  done
}

ring_class_path() { printf '/etc/cassandra:%s/lib/*:%s/*' "$RING_HOME" "$RING_HOME"; }

ring_memory_mib() { awk '$1 == "MemTotal:" { print int($2 / 1024) }' /proc/meminfo; }

# Cassandra's own rule: half of the memory up to 1 GiB, or a quarter of it up to 8 GiB, whichever is more.
ring_heap_mib() {
  local memory half quarter
  if [[ $RING_HEAP_MIB != auto ]]; then
    printf '%s' "$RING_HEAP_MIB"
    return
  fi
  memory=$(ring_memory_mib)
  half=$((memory / 2 < 1024 ? memory / 2 : 1024)) quarter=$((memory / 4 < 8192 ? memory / 4 : 8192))
  printf '%s' $((half > quarter ? half : quarter))
}

# Everything that a running daemon has read once and for all; seeds, certificates and logging it reads again, and how tokens
# are spread it asks only when it joins. Root asks for it, and user cassandra as it starts the daemon: only what both can read.
ring_fingerprint() {
  {
    sed -E '/^( *- seeds|allocate_tokens_[a-z_]*):/d' "$RING_YAML"
    cat /etc/cassandra/cassandra-rackdc.properties /etc/cassandra/jvm.options "$RING_ETC/launch" /etc/systemd/system/$RING_UNIT
    if [[ $RING_TLS_RELOADS == no && $RING_TLS != none ]]; then cat "$RING_DATA/tls/keystore.p12" "$RING_DATA/tls/truststore.p12"; fi
  } | sha256sum | cut -c1-32
}

# Was the running daemon started with just these files?
ring_runs_these() { [[ $(cat "$RING_STARTED_WITH" 2>/dev/null) == "$(ring_fingerprint)" ]]; }

# The node's memory ------------------------------------------------------------------------------------------------------

# Into NODE_STATE (empty, joining, joined) and the others.
ring_read_marker() {
  NODE_STATE='' NODE_CLUSTER='' NODE_DATACENTER='' NODE_RACK='' NODE_TOKENS=''
  # shellcheck source=/dev/null
  if [[ -e $RING_MARKER ]]; then . "$RING_MARKER"; fi
}

# Into NODE_RELEASE: the release that has last run on these data; empty where none has, or none that noted it.
ring_read_release() { NODE_RELEASE=$(cat "$RING_DATA/cdktf-ha-release" 2>/dev/null || true); }

ring_write_release() {
  printf '%s\n' "$RING_RELEASE" >"$RING_DATA/cdktf-ha-release.new"
  sync "$RING_DATA/cdktf-ha-release.new"
  mv --force "$RING_DATA/cdktf-ha-release.new" "$RING_DATA/cdktf-ha-release"
}

ring_write_marker() { # STATE
  {
    printf 'NODE_STATE=%q NODE_CLUSTER=%q NODE_DATACENTER=%q NODE_RACK=%q NODE_TOKENS=%q\n' "$1" "$RING_CLUSTER" "$RING_DATACENTER" "$RING_RACK" "$RING_TOKENS"
  } >"$RING_MARKER.new"
  chmod 644 "$RING_MARKER.new"
  sync "$RING_MARKER.new"
  mv --force "$RING_MARKER.new" "$RING_MARKER"
}

# Others -----------------------------------------------------------------------------------------------------------------

# Is every other node up and normal, in this node's eyes? Prints who is not. This node itself may be anything but leaving or
# moving: a stop would leave its rows half way.
ring_others_not_normal() {
  local states state address
  states=$(ring_states) || states=''
  if [[ -z $states ]]; then
    printf 'nodetool has no answer\n'
    return
  fi
  while read -r state address; do
    [[ $state == UN || ($address == "$RING_ADDRESS" && $state != ?[LM]) ]] || printf '%s is %s\n' "$address" "$state"
  done <<<"$states"
}

# ring_wait_until_normal SECONDS WHAT: until every other node is up and normal, in the eyes of this node and of all the others
ring_wait_until_normal() {
  local until=$((SECONDS + $1)) pause=2 problem
  while true; do
    problem=$(ring_others_not_normal)
    if [[ -z $problem ]]; then
      # a write that all replicas have to take, by way of each other node: that node sees them all as up
      problem=$(ring_cql seen 2>&1) && return
    fi
    ((SECONDS < until)) || ring_fail "$2: $(tr '\n' ';' <<<"$problem")"
    # nodetool takes most of a second of a processor: who is not there soon is asked for less often
    sleep $pause
    pause=$((pause < 8 ? pause + 1 : 8))
  done
}
