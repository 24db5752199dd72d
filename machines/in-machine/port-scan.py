"""port-scan.py ADDRESS tcp=1-65535 udp=53,123 protocol=112: what answers at an IPv4 address.

Prints lines such as "tcp open 22,80"; what is in no line was silent. Needs root, for raw sockets, and nothing
but python3-minimal. TCP by half-open (SYN) scan: one socket for all ports, and no connection that a server
under test would see.
"""

import errno
import random
import select
import socket
import struct
import sys
import time

SYN, RST, SYN_ACK = 0x02, 0x04, 0x12


def numbers_of(text):
    numbers = []
    for part in text.split(","):
        first, _, last = part.partition("-")
        numbers.extend(range(int(first), int(last or first) + 1))
    return numbers


def scan_tcp(address, ports):
    raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_TCP)
    raw.setsockopt(socket.SOL_SOCKET, 33, 32 << 20)  # SO_RCVBUFFORCE: answers come in faster than they are read
    raw.setblocking(False)
    # Not connected: an ICMP error for one port would be an error of the socket.
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as route:
        route.connect((address, 9))
        own_address = route.getsockname()[0]
    own_port = random.randrange(61000, 65535)  # above the range that Linux gives to others
    states = {}

    def syn(port):
        header = struct.pack("!HHIIBBHHH", own_port, port, random.getrandbits(32), 0, 5 << 4, SYN, 1024, 0, 0)
        pseudo = socket.inet_aton(own_address) + socket.inet_aton(address) + struct.pack("!HH", 6, len(header))
        checksum = sum(struct.unpack("!16H", pseudo + header))
        while checksum >> 16:
            checksum = (checksum & 0xFFFF) + (checksum >> 16)
        return header[:16] + struct.pack("!H", ~checksum & 0xFFFF) + header[18:]

    def read():
        while True:
            try:
                packet = raw.recv(256)
            except BlockingIOError:
                return
            start = (packet[0] & 15) * 4
            port, to = struct.unpack_from("!HH", packet, start)
            flags = packet[start + 13]
            if to != own_port or packet[12:16] != socket.inet_aton(address):
                continue
            if flags & SYN_ACK == SYN_ACK:
                states[port] = "open"  # the kernel, which knows of no connection, resets it
            elif flags & RST:
                states[port] = "closed"

    # Thrice: packets can be lost, in particular while ARP still looks for the neighbour.
    for _ in range(3):
        for count, port in enumerate(port for port in ports if port not in states):
            try:
                raw.sendto(syn(port), (address, 0))
            except BlockingIOError:
                select.select([], [raw], [], 0.1)
            except PermissionError:
                pass  # a firewall of this machine's own: nothing leaves, so nothing answers
            if count % 64 == 0:
                read()
        end = time.monotonic() + 0.7
        while time.monotonic() < end and len(states) < len(ports):
            select.select([raw], [], [], 0.05)
            read()
    return states


def scan_datagrams(address, sockets):
    """sockets: number -> socket. A closed one gives an ICMP error, of which Linux sends about one a second."""
    states = {}
    for connection in sockets.values():
        connection.setblocking(False)
        connection.connect((address, 0 if connection.type == socket.SOCK_RAW else connection.number))

    def note(number, call):
        try:
            call()
            return True
        except BlockingIOError:
            pass
        except OSError as error:
            if error.errno in (errno.ECONNREFUSED, errno.ENOPROTOOPT):
                states[number] = "closed"
            elif error.errno not in (errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EACCES, errno.EPERM):
                raise
        return False

    without_news = 0
    while without_news < 3 and len(states) < len(sockets):
        known = len(states)
        for number, connection in sockets.items():
            if number not in states:
                note(number, lambda: connection.send(bytes(20)))
        end = time.monotonic() + 1.1
        while time.monotonic() < end and len(states) < len(sockets):
            waiting = {connection: number for number, connection in sockets.items() if number not in states}
            for connection in select.select(list(waiting), [], [], 0.05)[0]:
                if note(waiting[connection], lambda: connection.recv(2048)):
                    states[waiting[connection]] = "open"
        without_news = 0 if len(states) > known else without_news + 1
    return states


class Udp(socket.socket):
    def __init__(self, port):
        super().__init__(socket.AF_INET, socket.SOCK_DGRAM)
        self.number = port


def main():
    address = sys.argv[1]
    for argument in sys.argv[2:]:
        kind, _, text = argument.partition("=")
        numbers = numbers_of(text)
        if kind == "tcp":
            states = scan_tcp(address, numbers)
        elif kind == "udp":
            states = scan_datagrams(address, {port: Udp(port) for port in numbers})
        else:
            raw = {number: socket.socket(socket.AF_INET, socket.SOCK_RAW, number) for number in numbers}
            states = scan_datagrams(address, raw)
        for state in "open", "closed":
            found = ",".join(str(number) for number in numbers if states.get(number) == state)
            if found:
                print(kind, state, found)


main()
