#!/bin/bash
# The machine's rsyslog stays.
systemctl try-restart rsyslog.service
