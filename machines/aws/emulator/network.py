"""The lab's network does what the emulated AWS says: route tables, elastic and secondary addresses, security groups.

This network namespace is the VPC's router and its Internet; its bridges are the subnets (machines/network.ts).
"""

import subprocess
import sys
import threading

from cloud import ec2, lock

_last = None


def follow():
    global _last
    wanted = (_routes(), _elastic(), _machines(), _speaks())
    if wanted == _last:
        return
    routes, elastic, machines, speaks = wanted
    batch = "\n".join(["route flush proto 201", *routes, "neigh flush all", ""])
    routed = subprocess.run(["ip", "-force", "-batch", "-"], input=batch, text=True, check=False, capture_output=True)
    nat = "\n".join(f"ip daddr {public} dnat to {private}" for public, private in elastic)
    chains = "\n".join(f"chain {chain} {{\n{rules}\n}}" for chain, rules in machines.items())
    senders = "\n".join(f"iifname \"{chain}\" arp saddr ip != {{ {', '.join(addresses)} }} drop" for chain, addresses in speaks.items())
    jumps = ", ".join(f'"{chain}" : jump {chain}' for chain in machines)
    gate = f"oifname vmap {{ {jumps} }}" if machines else ""
    rules = "".join([
        _table("ip aws_nat", f"chain out {{ type nat hook output priority -100;\n{nat}\n}}\n"
               f"chain in {{ type nat hook prerouting priority -100;\n{nat}\n}}"),
        _table("bridge aws_groups", f"{chains}\nchain bridged {{ type filter hook forward priority 10;\n{gate}\n}}\n"
               f"chain routed {{ type filter hook output priority 10;\n{gate}\n}}\n"
               f"chain senders {{ type filter hook prerouting priority 10;\n{senders}\n}}"),
    ])
    filtered = subprocess.run(["nft", "-f", "-"], input=rules, text=True, check=False, capture_output=True)
    if filtered.returncode:
        print(f"nft: {filtered.stderr}", file=sys.stderr)  # the kernel's rules were being changed by somebody else
    if routed.returncode or filtered.returncode:
        # a subnet comes with its first machine, which boots after its instance has been told to run
        threading.Timer(0.3, again).start()
    else:
        _last = wanted


def again():
    with lock:
        follow()


def _table(name, content):
    return f"table {name}\ndelete table {name}\ntable {name} {{\n{content}\n}}\n"


def _port(address):
    return "port-" + "".join(f"{int(octet):02x}" for octet in address.split("."))  # as machines/subnet.ts names it


def _attached():
    return [nic for nic in ec2.enis.values() if nic.instance]


def _routes():
    """Only to interfaces whose source/destination check is off: else AWS drops what is not for their own addresses."""
    return sorted(f"route replace {destination} via {address} proto 201" for destination, address in _led())


def _led():
    return [
        (route.destination_cidr_block, route.interface.private_ip_address)
        for table in ec2.route_tables.values()
        for route in table.routes
        if route.interface and route.interface.instance and not route.interface.source_dest_check
    ]


def _elastic():
    return sorted((elastic.public_ip, elastic.eni.private_ip_address) for elastic in ec2.addresses if elastic.eni and elastic.eni.instance)


def _speaks():
    """A machine is heard for the addresses that AWS leads to its interface, no others: a gratuitous ARP moves nothing."""
    return {_port(nic.private_ip_address): sorted({
        *(each["PrivateIpAddress"] for each in nic.private_ip_addresses),
        *(destination.removesuffix("/32") for destination, address in _led() if address == nic.private_ip_address and destination.endswith("/32")),
    }) for nic in _attached()}


def _machines():
    """Each machine's groups as a chain. The kernel tracks no connections on bridges, so answers are told by their looks."""
    return {_port(nic.private_ip_address): "\n".join([
        "ether type arp accept",
        "meta l4proto { icmp, icmpv6 } accept",
        "meta l4proto tcp tcp flags & (syn | ack) != syn accept",
        "meta l4proto udp udp dport 32768-65535 accept",
        *sorted({line for group in nic.group_set for rule in group.ingress_rules for line in _accepts(rule)}),
        "drop",
    ]) for nic in _attached()}


def _accepts(rule):
    if rule.source_group:
        group = rule.source_group.get("GroupId")
        sources = sorted(each["PrivateIpAddress"] for nic in ec2.enis.values() if group in [g.id for g in nic.group_set]
                         for each in nic.private_ip_addresses)
    else:
        sources = [rule.cidr_ipv4] if rule.cidr_ipv4 else []
    if not sources:
        return []
    who = f"ip saddr {{ {', '.join(sources)} }}" if sources != ["0.0.0.0/0"] else "meta protocol ip"
    if rule.ip_protocol == "-1":
        return [f"{who} accept"]
    if rule.ip_protocol in ("tcp", "udp"):
        return [f"{who} {rule.ip_protocol} dport {rule.from_port}-{rule.to_port} accept"]
    return [f"{who} ip protocol {rule.ip_protocol} accept"]
