# The parser reads the new files together with what this machine adds to them; certificates and keys are loaded as well. Much of
# what it cannot use it only complains about, and goes on without.
/usr/local/lib/cdktf-ha/squid-prepare
status=0
words=$(squid -k parse -f /etc/squid/squid.conf 2>&1) || status=$?
complaints=$(grep -E 'FATAL|ERROR|WARNING|Bungled|unrecognized' <<<"$words" || true)
[[ -z $complaints ]] || printf '%s\n' "$complaints"
((status == 0)) && ! grep -qE 'ERROR:|unrecognized:' <<<"$complaints"
