systemctl is-active pdns.service
systemctl is-active cdktf-ha-geo-dns.service
/usr/local/lib/cdktf-ha/geo-dns healthy
