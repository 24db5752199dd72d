# On a load balancer, after a server changed: it gets requests again, once it answers.
# SERVER and BACKENDS stand above.
socket=/run/haproxy/admin.sock
[[ -S $socket ]] || exit 0
ask() { socat -t 5 STDIO UNIX-CONNECT:"$socket" <<<"$1"; }
status() { ask 'show stat' | awk -F, -v backend="$1" -v server="$SERVER" '$1 == backend && $2 == server { print $18 }'; }
awaited=()
for backend in $BACKENDS; do
  marker=/run/cdktf-ha-drained-$backend-$SERVER
  [[ -e $marker ]] || continue
  ask "set server $backend/$SERVER state ready" >/dev/null
  # one that was down before need not come up now
  [[ $(<"$marker") == DOWN* ]] || awaited+=("$backend")
  rm -f "$marker"
done
((${#awaited[@]})) || exit 0
for ((i = 0; i < 150; i++)); do
  missing=()
  for backend in "${awaited[@]}"; do
    case $(status "$backend") in UP | 'no check') ;; *) missing+=("$backend") ;; esac
  done
  if ((!${#missing[@]})); then
    echo "$SERVER gets requests again"
    exit 0
  fi
  sleep 0.2
done
echo "$SERVER is not healthy after 30 s in: ${missing[*]}"
