# keepalived 2.2.7 (Debian 12) ends its own test by SIGTERM wherever the file has a vrrp_script, right or wrong
# (acassen/keepalived#2587, mended in 2.2.8). What it has to say about the file it has said by then: silence is consent.
status=0
words=$(keepalived --config-test --use-file=/etc/keepalived/keepalived.conf 2>&1) || status=$?
words=$(grep -vx Terminated <<<"$words" || true)
[[ -z $words ]] || printf '%s\n' "$words"
((status == 0)) || [[ $status == 143 && -z $words ]]
