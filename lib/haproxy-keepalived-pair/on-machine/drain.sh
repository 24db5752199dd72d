# On a load balancer, before a server changes: no new requests to it, and those under way may finish.
# BACKEND, SERVER and SECONDS stand above.
socket=/run/haproxy/admin.sock
[[ -S $socket ]] || exit 0 # not set up yet
ask() { socat -t 5 STDIO UNIX-CONNECT:"$socket" <<<"$1"; }
# fields of `show stat`: 5 sessions now, 18 status
field() { ask 'show stat' | awk -F, -v backend="$BACKEND" -v server="$SERVER" -v n="$1" '$1 == backend && $2 == server { print $n }'; }
marker=/run/cdktf-ha-drained-$BACKEND-$SERVER
[[ $(field 18) != DRAIN* && $(field 18) != MAINT* ]] || exit 0 # somebody else took it out, and will bring it back
ask "set server $BACKEND/$SERVER state drain" >/dev/null
: >"$marker"
for ((i = 0; i < SECONDS_AT_MOST * 5; i++)); do
  [[ $(field 5) != 0 ]] || break
  sleep 0.2
done
echo "$SERVER takes no new requests; $(field 5) still under way"
