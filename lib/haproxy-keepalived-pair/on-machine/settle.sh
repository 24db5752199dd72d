# Server states that the code declares can only be told to a running process. One that has left the code is ready again,
# unless its server changes just now: whoever drained it for that brings it back.
# Lines: BACKEND/SERVER STATE
ask() { socat -t 5 STDIO UNIX-CONNECT:/run/haproxy/admin.sock <<<"$1"; }
states=/etc/haproxy/cdktf-ha-server-states
while read -r server _; do
  [[ ! -e /var/lib/haproxy/drained-${server/\//-} ]] || continue
  grep -q "^$server " "$states" || ask "set server $server state ready"
done < <(cat "$HA_PREVIOUS/root$states" 2>/dev/null)
while read -r server state; do
  answer=$(ask "set server $server state $state")
  [[ -z ${answer//[$'\n ']/} ]] || { echo "$server: $answer"; exit 1; }
done <"$states"
# as they are now: also after a crash or a power cut
/usr/local/lib/cdktf-ha/haproxy-save-state
