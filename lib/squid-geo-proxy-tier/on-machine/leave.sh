# What the machine made for itself. The cache stays: it is data.
rm -rf /etc/squid/cdktf-ha-errors /etc/squid/cdktf-ha-sizes.conf /var/lib/cdktf-ha-squid
