# HA_ACTION is reload for what PowerDNS reads anew while it runs: the zones. What does not answer stays out of them.
geo_dns() { runuser --user pdns -- /usr/local/lib/cdktf-ha/geo-dns "$@"; }
for unit in pdns.service cdktf-ha-geo-dns.service; do
  systemctl is-enabled --quiet "$unit" || systemctl enable --quiet "$unit"
done
if systemctl is-active --quiet pdns.service && [[ $HA_ACTION != restart ]]; then
  geo_dns publish
else
  geo_dns write
  systemctl reset-failed pdns.service 2>/dev/null || true # else systemd counts our attempts with the crashes before
  systemctl restart pdns.service
fi
[[ $HA_ACTION == none ]] || systemctl restart cdktf-ha-geo-dns.service # it remembers what does not answer
systemctl is-active --quiet cdktf-ha-geo-dns.service || systemctl start cdktf-ha-geo-dns.service
