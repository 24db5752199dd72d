# What the machine made for itself.
systemctl stop cdktf-ha-geo-dns.service 2>/dev/null || true
rm -rf /var/lib/cdktf-ha-geo-dns
