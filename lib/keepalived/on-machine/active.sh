# Does this node hold any of the addresses?
systemctl is-active --quiet keepalived
grep -qx MASTER /run/cdktf-ha-vrrp/*
