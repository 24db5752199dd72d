#!/bin/bash
# pgBackRest's way to the host of a repository: the file beside the keys that is called like this program.
exec ssh -F "/etc/pgbackrest/${0##*/}/config" "$@"
