#!/bin/bash
# adopt.sh TREE DATA USER: what lies in TREE, and belonged to whom DATA belongs to, is USER's on this machine. A volume keeps numbers of users, and
# another image gives its users other ones. DATA itself comes last: who was interrupted goes on.
set -euo pipefail
tree=$1 data=$2 user=$3
[[ -e $data ]] || exit 0
read -r old group < <(stat --format='%u %g' "$data")
own=$(id --user "$user") own_group=$(id --group "$user")
if ((old == 0)) || [[ $old:$group == "$own:$own_group" ]]; then exit 0; fi
logger --tag cdktf-ha-volume -- "$tree came with the numbers $old:$group for $user, who is $own:$own_group here" || true
find "$tree" -gid "$group" -not -path "$data" -exec chgrp --no-dereference "$own_group" {} +
find "$tree" -uid "$old" -not -path "$data" -exec chown --no-dereference "$own" {} +
chown "$own:$own_group" "$data"
