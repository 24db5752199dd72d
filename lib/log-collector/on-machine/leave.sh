#!/bin/bash
# The machine's rsyslog stays; what waits for the collector goes, it is in the journal.
rm --force "/etc/rsyslog.d/60-cdktf-ha-$HA_SERVICE.conf"
if systemctl is-active --quiet rsyslog.service; then systemctl restart rsyslog.service; fi
rm --force "/var/spool/rsyslog/cdktf-ha-$HA_SERVICE"*
