#!/bin/bash
# All of the machine's settings of rsyslog, with ours among them.
rsyslogd -N1 >/dev/null
