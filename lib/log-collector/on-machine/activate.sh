#!/bin/bash
# It reads its settings at its start only.
systemctl is-enabled --quiet rsyslog.service || systemctl enable --quiet rsyslog.service
if ! systemctl is-active --quiet rsyslog.service; then
  systemctl start rsyslog.service
elif [[ $HA_ACTION != none ]]; then
  systemctl restart rsyslog.service
fi
