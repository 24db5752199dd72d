# A PowerDNS of its own, in a network of its own, reads the new files and answers for everything that is in them.
unshare --net bash -c 'ip link set lo up && exec /usr/local/lib/cdktf-ha/geo-dns trial'
