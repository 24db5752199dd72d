#!/usr/bin/env python3
"""Writes countries.mmdb, a country database of a few networks for tests: python3 -m pip install mmdb-writer, then run this."""

from pathlib import Path

from mmdb_writer import MMDBWriter
from netaddr import IPSet

# Networks that are kept for documentation and benchmarks, and private ones: nobody's country.
NETWORKS = {
    ("EU", "GB"): ["198.51.100.0/26", "2001:db8:1::/48"],
    ("EU", "FR"): ["198.51.100.64/26"],
    ("NA", "US"): ["203.0.113.0/25"],
    ("NA", "CA"): ["203.0.113.128/25"],
    ("OC", "AU"): ["192.0.2.0/25"],
    ("AF", "ZA"): ["198.18.0.0/16"],
    ("EU", "NO"): ["198.19.0.0/16"],
}

writer = MMDBWriter(
    ip_version=6,
    ipv4_compatible=True,
    database_type="GeoLite2-Country",
    languages=["en"],
    description="Countries of a few networks, for tests",
)
for (continent, country), networks in NETWORKS.items():
    writer.insert_network(IPSet(networks), {"continent": {"code": continent}, "country": {"iso_code": country}})
writer.to_db_file(str(Path(__file__).with_name("countries.mmdb")))
