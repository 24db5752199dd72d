# On a load balancer, after a server changed: it gets requests again, once it answers.
# BACKEND and SERVER stand above.
socket=/run/haproxy/admin.sock
marker=/run/cdktf-ha-drained-$BACKEND-$SERVER
[[ -S $socket && -e $marker ]] || exit 0
ask() { socat -t 5 STDIO UNIX-CONNECT:"$socket" <<<"$1"; }
status() { ask 'show stat' | awk -F, -v backend="$BACKEND" -v server="$SERVER" '$1 == backend && $2 == server { print $18 }'; }
ask "set server $BACKEND/$SERVER state ready" >/dev/null
rm -f "$marker"
for ((i = 0; i < 150; i++)); do
  if [[ $(status) == UP || $(status) == 'no check' ]]; then
    echo "$SERVER gets requests again"
    exit 0
  fi
  sleep 0.2
done
echo "$SERVER is not healthy after 30 s: $(status)"
