#!/bin/bash
# Runs whenever keepalived has stopped, however it died. Killed, it leaves its addresses on the interface, and then two
# machines answer for them: the other node takes over after three adverts.
set -u
while read -r address interface; do
  ip address delete "$address" dev "$interface" 2>/dev/null
done </etc/keepalived/cdktf-ha-addresses
rm -f /run/cdktf-ha-vrrp/* # nobody may read MASTER here any more
exit 0
