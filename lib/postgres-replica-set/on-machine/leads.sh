#!/bin/bash
# leads ADDRESS SCHEME...: does the Patroni of this machine say that it leads? keepalived asks every second, and takes no longer than that for
# an answer. From the machine to itself, so nobody's certificate is looked at. While a set changes over to TLS or back, Patroni speaks the one scheme
# or the other: the next one is tried where the first is not understood.
set -u
address=$1
shift
for scheme in "$@"; do
  curl --silent --fail --insecure --noproxy '*' --max-time 0.8 --output /dev/null "$scheme://$address:8008/primary"
  case $? in
    0) exit 0 ;;
    7 | 22 | 28) exit 1 ;; # nobody there, an answer that is no, no answer
  esac
done
exit 1
