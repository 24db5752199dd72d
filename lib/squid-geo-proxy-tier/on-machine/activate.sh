# HA_ACTION is reload for what Squid reads anew while it runs, restart for the rest; sizes that the machine found anew are of the
# rest.
sum() { sha256sum /etc/squid/cdktf-ha-sizes.conf 2>/dev/null || true; }
before=$(sum)
/usr/local/lib/cdktf-ha/squid-prepare
[[ $before == "$(sum)" ]] || HA_ACTION=restart
systemctl is-enabled --quiet cdktf-ha-squid-origins.service || systemctl enable --quiet cdktf-ha-squid-origins.service
systemctl is-enabled --quiet squid.service || systemctl enable --quiet squid.service
if ! systemctl is-active --quiet squid.service; then
  systemctl reset-failed squid.service 2>/dev/null || true # else systemd counts our attempts with the crashes before
  systemctl start squid.service
elif [[ $HA_ACTION == restart ]]; then
  /usr/local/lib/cdktf-ha/squid-restart
elif [[ $HA_ACTION == reload ]]; then
  systemctl reload squid.service
fi
systemctl is-active --quiet cdktf-ha-squid-origins.service || systemctl start cdktf-ha-squid-origins.service
/usr/local/lib/cdktf-ha/squid-warm
