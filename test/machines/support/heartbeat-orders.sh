#!/bin/bash
# orders.sh FILE: takes orders on this node, each on disk before the next one is taken, until it is told to stop.
# A line: node, number, time.
number=0
while ((++number)) && echo "$HOSTNAME $number $EPOCHREALTIME" >>"$1" && sync "$1"; do
  sleep 0.1
done
