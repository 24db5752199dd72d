#!/bin/bash
# A collector that is away makes nobody ill.
systemctl is-active --quiet rsyslog.service
