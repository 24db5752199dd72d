# On a load balancer, before a server changes: no new requests to it, and those under way may finish.
# SERVER, BACKENDS (those it is in) and SECONDS_AT_MOST stand above.
socket=/run/haproxy/admin.sock
[[ -S $socket ]] || exit 0 # not set up yet
ask() { socat -t 5 STDIO UNIX-CONNECT:"$socket" <<<"$1"; }
status() { ask 'show stat' | awk -F, -v backend="$1" -v server="$SERVER" '$1 == backend && $2 == server { print $18 }'; }
drained=()
for backend in $BACKENDS; do
  before=$(status "$backend")
  case $before in
    '') continue ;;              # comes with this very change
    DRAIN* | MAINT*) continue ;; # somebody else took it out, and will bring it back
  esac
  ask "set server $backend/$SERVER state drain" >/dev/null
  printf '%s\n' "$before" >"/run/cdktf-ha-drained-$backend-$SERVER"
  drained+=("$backend")
done
under_way() {
  ask 'show stat' | awk -F, -v drained=" ${drained[*]} " -v server="$SERVER" \
    '$2 == server && index(drained, " " $1 " ") { sessions += $5 } END { print sessions + 0 }'
}
for ((i = 0; i < SECONDS_AT_MOST * 5; i++)); do
  [[ $(under_way) != 0 ]] || break
  sleep 0.2
done
echo "$SERVER takes no new requests; $(under_way) still under way"
