# On a load balancer, after a server changed: it gets requests again, once it answers.
# SERVER and BACKENDS stand above.
socket=/run/haproxy/admin.sock
[[ -S $socket ]] || exit 0
ask() { socat -t 5 STDIO UNIX-CONNECT:"$socket" <<<"$1"; }
status() { ask 'show stat' | awk -F, -v backend="$1" -v server="$SERVER" '$1 == backend && $2 == server { print $18 }'; }
# what the code says of a server, if anything
declared() { awk -v server="$1/$SERVER" '$1 == server { print $2 }' /etc/haproxy/cdktf-ha-server-states; }
awaited=()
for backend in $BACKENDS; do
  marker=/var/lib/haproxy/drained-$backend-$SERVER
  [[ -e $marker ]] || continue
  # after maintenance it would count as healthy, unseen; like this it counts as dead until checks have found it well
  [[ $(status "$backend") != MAINT* ]] ||
    ask "set server $backend/$SERVER state drain; set server $backend/$SERVER health down" >/dev/null
  state=$(declared "$backend")
  ask "set server $backend/$SERVER state ${state:-ready}" >/dev/null
  # one that was down before, or that the code has taken out, need not come up now
  [[ $(<"$marker") == DOWN* || ${state:-ready} != ready ]] || awaited+=("$backend")
  rm -f "$marker"
done
# what was saved while the server was out must not come back after a crash
/usr/local/lib/cdktf-ha/haproxy-save-state
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
