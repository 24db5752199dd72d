#!/bin/bash
# shellcheck disable=SC2153 # the facts come from a file
# What differs with Heartbeat: it has no list of resources that could be asked, and no votes.

# One that has died comes back by itself.
pair_is_managed() { [[ $(systemctl is-active heartbeat.service 2>/dev/null) == @(active|activating|deactivating) ]]; }

pair_sees_both() { [[ $(cl_status nodestatus "$PAIR_PEER" 2>/dev/null) == active ]]; }

# A node that signs otherwise is not heard: both would serve.
pair_fail_if_secret_refused() {
  ! pair_is_managed || cmp --quiet /etc/cdktf-ha/drbd-nfs.key /proc/1/root/etc/cdktf-ha/drbd-nfs.key ||
    pair_fail "the secret is another one: it cannot be changed while Heartbeat runs"
}

# whoever is up may take over
pair_is_fenced() { false; }

pair_hand_over() {
  /usr/share/heartbeat/hb_standby all
  pair_wait "$PAIR_MOVES_WITHIN" pair_is_handed_over ||
    pair_fail "$PAIR_PEER has not taken over within $PAIR_MOVES_WITHIN s: journalctl --unit heartbeat shows why"
}

# Everything is stopped here and started there, and Heartbeat is done with it.
pair_is_handed_over() {
  ! pair_serves && [[ $(drbdadm role "$PAIR_RESOURCE") == Secondary/Primary && $(cl_status rscstatus) == none ]]
}

# Ours in the place of the package's file, which goes on beside it, by each upgrade too.
pair_own_shellfuncs() {
  dpkg-divert --quiet --local --rename --divert /etc/ha.d/shellfuncs.package --add /etc/ha.d/shellfuncs
  ln --symbolic --force /usr/local/lib/cdktf-ha/drbd-nfs/heartbeat-shellfuncs.sh /etc/ha.d/shellfuncs
}
pair_packages_shellfuncs() {
  [[ ! -L /etc/ha.d/shellfuncs ]] || rm /etc/ha.d/shellfuncs
  dpkg-divert --quiet --local --rename --remove /etc/ha.d/shellfuncs
}
