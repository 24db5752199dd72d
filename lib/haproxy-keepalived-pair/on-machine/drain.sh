# On a load balancer, before a server changes: no requests to it, and those under way may finish.
# SERVER, BACKENDS (those it is in), STICKY (those of them whose HTTP clients it knows) and SECONDS_AT_MOST stand above.
#
# A drained server still gets the clients that it knows; one in maintenance gets nobody, and another one serves them. What
# is under way over HTTP finishes all the same. Connections of TCP would be cut, so there draining has to do.
socket=/run/haproxy/admin.sock
[[ -S $socket ]] || exit 0 # not set up yet
ask() { socat -t 5 STDIO UNIX-CONNECT:"$socket" <<<"$1"; }
drained=()
for backend in $BACKENDS; do
  read -r others status < <(ask 'show stat' | awk -F, -v backend="$backend" -v server="$SERVER" '
    $1 != backend || $2 == "BACKEND" { next }
    $2 == server { status = $18; next }
    $18 ~ /^(UP|no check)/ { others++ }
    END { print others + 0, status }')
  case $status in
    '') continue ;;              # comes with this very change
    DRAIN* | MAINT*) continue ;; # somebody else took it out, and will bring it back
  esac
  if [[ $others == 0 ]]; then
    echo "$SERVER is the only one in $backend that can serve: requests go on while it changes"
    continue
  fi
  state=drain
  [[ " $STICKY " != *" $backend "* ]] || state=maint
  printf '%s\n' "$status" >"/var/lib/haproxy/drained-$backend-$SERVER"
  ask "set server $backend/$SERVER state $state" >/dev/null
  drained+=("$backend")
done
((${#drained[@]})) || exit 0
under_way() {
  ask 'show stat' | awk -F, -v drained=" ${drained[*]} " -v server="$SERVER" \
    '$2 == server && index(drained, " " $1 " ") { sessions += $5 } END { print sessions + 0 }'
}
for ((i = 0; i < SECONDS_AT_MOST * 5; i++)); do
  [[ $(under_way) != 0 ]] || break
  sleep 0.2
done
echo "$SERVER takes no new requests; $(under_way) still under way"
