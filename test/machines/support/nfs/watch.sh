#!/bin/bash
# watch.sh NAME: what this node does, four times a second, to the operator's computer by each network. It starts no process.
# a pipe that nobody writes to: waiting for it needs no process
exec 9<> <(:)
while :; do
  drbd=- flags=- mounted=- address=-
  while read -r minor _ roles _ _ rest; do
    [[ $minor == 0: ]] && drbd=$roles flags=$rest
  done 2>/dev/null </proc/drbd
  while read -r device _; do [[ $device == /dev/drbd0 ]] && mounted=mounted; done </proc/mounts
  [[ $(</proc/net/fib_trie) == *10.77.0.100* ]] && address=address
  for operator in 10.77.0.1 10.78.0.1; do
    printf '%s\n' "$1 $drbd ${flags:0:1} $mounted $address" 2>/dev/null >"/dev/udp/$operator/9899"
  done
  read -r -t 0.25 -u 9
done
