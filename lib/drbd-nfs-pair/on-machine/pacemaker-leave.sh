#!/bin/bash
# The pair has left the code. Pacemaker stops what runs here, in order; the other node may take over. What it knows goes
# with it: a node that comes back is told by the other one, and a pair that is made anew by the code.
systemctl disable --quiet --now pacemaker.service
systemctl disable --quiet --now corosync-qdevice.service corosync.service
if systemctl is-enabled --quiet sbd.service 2>/dev/null; then systemctl disable --quiet sbd.service; fi
rm --force /var/lib/pacemaker/cib/cib* /etc/corosync/authkey*
