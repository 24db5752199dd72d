#!/bin/bash
# The pair has left the code. Heartbeat stops what runs here, in order; the other node may take over.
systemctl disable --quiet --now heartbeat.service
