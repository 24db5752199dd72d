#!/usr/bin/python3
"""Keeps what does not answer out of PowerDNS's zones.

  geo-dns write      the zones from the pushed ones, without what does not answer
  geo-dns publish    the same, and the running PowerDNS reads them
  geo-dns watch      asks every address again and again, and publishes what changes
  geo-dns healthy    status 0 while PowerDNS answers what is in the zones
  geo-dns trial      a PowerDNS of its own reads the pushed zones and answers every question they are for
"""

import contextlib
import fcntl
import http.client
import ipaddress
import json
import os
import random
import socket
import ssl
import struct
import subprocess
import sys
import tempfile
import threading
import time

import yaml

ETC = "/etc/powerdns"
STATE = "/var/lib/cdktf-ha-geo-dns"
LIVE = os.path.join(STATE, "zones.yaml")
DOWN = os.path.join(STATE, "down.json")
LABEL, DEFAULT = "_geo", "unknown"
KEYS = os.path.join(ETC, "cdktf-ha-keys")
TYPES = {"a": 1, "ns": 2, "soa": 6, "aaaa": 28, "dnskey": 48}


class Failed(Exception):
    pass


# Files change under the checks while an apply is on its way.
FAILURES = (Failed, OSError, ValueError, KeyError, yaml.YAMLError, subprocess.SubprocessError)


def note(text):
    print(text, flush=True)


def load(path):
    with open(path) as file:
        return yaml.safe_load(file) if path.endswith(".yaml") else json.load(file)


def store(path, text):
    """The new file is complete and on disk before its name is."""
    new = f"{path}.new"
    with open(new, "w") as file:
        os.fchmod(file.fileno(), 0o644)
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.replace(new, path)


def stored(path):
    try:
        return load(path)
    except (FileNotFoundError, ValueError, yaml.YAMLError):
        return None


@contextlib.contextmanager
def alone():
    """One at a time: an apply and the checks both write the zones."""
    with open(os.path.join(STATE, "lock"), "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


# What is answered


def records(addresses):
    return [{"aaaa" if ":" in address else "a": address} for address in addresses]


def families(addresses):
    return {6 if ":" in address else 4 for address in addresses}


def take_out(domain, check, down):
    """Takes the addresses in `down` out of the domain; all of them stay where none is left, since then it may be this machine that sees nothing.

    A region that has lost all of its IPv4 or all of its IPv6 addresses is passed over like a dead one while others have some: half of
    its visitors would get no address.
    """
    name, mapping, regions = domain["domain"], domain["custom_mapping"], check["regions"]
    left = {region: [address for address in addresses if address not in down] for region, addresses in regions.items()}
    if left == regions or not any(left.values()):
        return
    anywhere = families(address for addresses in left.values() for address in addresses)
    lost = {region: (families(regions[region]) & anywhere) - families(left[region]) for region in regions}
    alive = [region for region in regions if left[region] and not lost[region]] or [region for region in regions if left[region]]

    def next_nearest(region):
        return next((other for other in check["next_nearest"].get(region, []) if other in alive), None)

    def whole(region):
        """Its addresses, and where no region is whole the others' of the family that it has lost."""
        others = ([address for address in left[other] if families([address]) == {family}] for family in sorted(lost[region]) for other in regions)
        return left[region] + [address for addresses in others for address in addresses]

    default = check["default"]
    default = default if default in alive else next_nearest(default) or alive[0]
    for place, region in list(mapping.items()):
        if region in alive:
            continue
        other = next_nearest(region)
        if other:
            mapping[place] = other
        else:
            del mapping[place]  # the continent's region is next, then the default one
    for region in regions:
        domain["records"][f"{region}.{LABEL}.{name}"] = records(whole(region if region in alive else next_nearest(region) or default))
    domain["records"][f"{DEFAULT}.{LABEL}.{name}"] = records(whole(default))


def zones_without(down):
    """The pushed zones, without what is down by the name it is down for."""
    zones = load(os.path.join(ETC, "cdktf-ha-zones.yaml"))
    checks = {check["name"]: check for check in load(os.path.join(ETC, "cdktf-ha-checks.json"))["zones"]}
    for domain in zones["domains"]:
        take_out(domain, checks[domain["domain"]], down.get(domain["domain"], []))
    return zones


def with_serial(zones, serial):
    for domain in zones["domains"]:
        soa = domain["records"][domain["domain"]][0]["soa"]
        fields = soa["content"].split(" ")
        fields[2] = str(serial)
        soa["content"] = " ".join(fields)
    return zones


def serials(zones):
    return {domain["domain"]: int(domain["records"][domain["domain"]][0]["soa"]["content"].split(" ")[2]) for domain in zones["domains"]}


def live_zones():
    """What PowerDNS reads at its next start; nothing where somebody else has written it."""
    live = stored(LIVE)
    try:
        serials(live)
    except (AttributeError, IndexError, KeyError, TypeError, ValueError):
        return None
    return live


def text_of(zones):
    return yaml.safe_dump(zones, sort_keys=False, width=100_000)


# Questions to a name server


def question(name, kind):
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split("."))
    number = random.randrange(65536)
    larger = struct.pack(">BHHIH", 0, 41, 1232, 0, 0)  # EDNS: answers of more than 512 bytes
    return number, struct.pack(">6H", number, 0, 1, 0, 0, 1) + labels + b"\0" + struct.pack(">2H", TYPES[kind], 1) + larger


def skip_name(data, at):
    while data[at]:
        if data[at] >= 192:
            return at + 2
        at += data[at] + 1
    return at + 1


def ask(name, kind, server="127.0.0.1", port=53, timeout=2.0):
    """The data of the records of this type that are answered; nothing where the server does not answer."""
    number, packet = question(name, kind)
    family = socket.AF_INET6 if ":" in server else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as connection:
        connection.settimeout(timeout)
        connection.connect((server, port))
        try:
            connection.send(packet)
            data = connection.recv(65535)
        except OSError:
            return None
    answered, flags, _, count = struct.unpack(">4H", data[:8])
    if answered != number or flags & 15:
        return None
    at = skip_name(data, 12) + 4
    found = []
    for _ in range(count):
        at = skip_name(data, at)
        type_number, _, _, length = struct.unpack(">2HIH", data[at : at + 10])
        if type_number == TYPES[kind]:
            found.append(data[at + 10 : at + 10 + length])
        at += 10 + length
    return found


def shows(zones, **server):
    """Does the server answer from exactly these zones?"""
    for name, serial in serials(zones).items():
        found = ask(name, "soa", **server)
        if not found or struct.unpack(">I", found[0][-20:-16])[0] != serial:
            return False
    return True


def wait_until_shows(zones, seconds, is_running=lambda: True, **server):
    end = time.monotonic() + seconds
    while not shows(zones, **server):
        if not is_running() or time.monotonic() > end:
            return False
        time.sleep(0.1)
    return True


def wrong_answers(zones, **server):
    """Records that the server does not answer as they are in the zones."""
    for domain in zones["domains"]:
        if os.path.exists(os.path.join(KEYS, f"{domain['domain']}.257.1.1.key")):
            keys = ask(domain["domain"], "dnskey", **server) or []
            if not any(any(key[4:]) for key in keys):  # of half a key it makes one of zeros
                yield f"{domain['domain']}: the key is none that PowerDNS can sign with"
        for name, own in domain["records"].items():
            for kind in sorted({kind for record in own for kind in record}):
                contents = [record[kind] for record in own if kind in record]
                found = ask(name, kind, **server)
                if found is None or len(found) != len(contents):
                    yield f"{name} {kind.upper()}: {len(found) if found is not None else 'no'} answers, wanted {len(contents)}"
                elif kind in ("a", "aaaa") and sorted(found) != sorted(ipaddress.ip_address(content).packed for content in contents):
                    yield f"{name} {kind.upper()}: other addresses than {', '.join(contents)}"
        if not ask(domain["domain"], "a", **server) and not ask(domain["domain"], "aaaa", **server):
            yield f"{domain['domain']}: no address"


# Commands


def write():
    """Gives the zones and whether PowerDNS has not read them yet."""
    zones = zones_without(stored(DOWN) or {})
    live = live_zones()
    before = max([0, *serials(live).values()]) if live else 0
    if live and text_of(with_serial(live, 0)) == text_of(with_serial(zones, 0)):
        return with_serial(live, before), False
    # no zone has ever been transferred: what counts is that it is another one
    zones = with_serial(zones, max(before + 1, int(time.time())))
    store(LIVE, text_of(zones))
    return zones, True


def publish(again=False):
    """PowerDNS goes on with its old zones where it cannot read the new ones, and says that all is well: it has to be asked."""
    try:
        with open(LIVE) as file:
            before = file.read()
    except FileNotFoundError:
        before = None
    zones, changed = write()
    if not (changed or again) and shows(zones):
        return
    subprocess.run(["pdns_control", "reload"], stdout=subprocess.DEVNULL, check=True)
    if not wait_until_shows(zones, 10):
        if before is not None:
            store(LIVE, before)  # a start must not fail on them
        raise Failed("PowerDNS does not answer from the new zones: journalctl -u pdns says why")


def healthy():
    live = live_zones()
    wanted = with_serial(zones_without(stored(DOWN) or {}), 0)
    if live is None or text_of(wanted) != text_of(with_serial(live_zones(), 0)):
        raise Failed("the zones are not those that were pushed")
    with open(os.path.join(ETC, "pdns.conf")) as file:
        setting = next(line for line in file if line.startswith("local-address="))
    for server in setting.strip().split("=")[1].split(", "):
        if not shows(live, server=server):
            raise Failed(f"PowerDNS does not answer from its zones at {server}")
    wrong = list(wrong_answers(live))
    if wrong:
        raise Failed("\n".join(wrong))


def trial():
    """Alone in a network of its own: as the user that PowerDNS runs as, with the files that are to be."""
    command = ["pdns_server", f"--config-dir={ETC}", "--config=check"]
    checked = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if checked.returncode:
        raise Failed(checked.stdout)
    zones = with_serial(zones_without({}), 1)
    with tempfile.TemporaryDirectory() as directory, open(os.path.join(directory, "words"), "w+") as words:
        os.chmod(directory, 0o711)
        sockets = os.path.join(directory, "sockets")
        os.mkdir(sockets, 0o777)
        os.chmod(sockets, 0o777)
        candidate = os.path.join(directory, "zones.yaml")
        store(candidate, text_of(zones))
        # fmt: skip
        command = [
            "pdns_server", f"--config-dir={ETC}", f"--geoip-zones-file={candidate}", f"--socket-dir={sockets}", "--local-address=127.0.0.1",
            "--local-port=5353", "--guardian=no", "--daemon=no", "--disable-syslog", "--log-timestamp=no", "--write-pid=no",
        ]
        server = subprocess.Popen(command, user="pdns", group="pdns", extra_groups=[], stdout=words, stderr=words)
        # each record is asked for once, and a server that has just started may be slow
        here = {"port": 5353, "timeout": 5.0}
        try:
            if not wait_until_shows(zones, 20, lambda: server.poll() is None, **here):
                raise Failed("PowerDNS does not answer from these zones")
            wrong = list(wrong_answers(zones, **here))
            if wrong:
                raise Failed("\n".join(wrong))
        except Failed:
            words.seek(0)
            note("".join(line for line in words if any(word in line for word in ("rror", "xception", "annot", "ailed", "nable"))))
            raise
        finally:
            server.kill()
            server.wait()


# Checks


def answers(address, check):
    """Does the address answer like a site that is well: 2xx or 3xx, in time? Whose certificate it shows is not asked."""
    connection = http.client.HTTPConnection(address, check["port"], timeout=check["timeout"])
    # a server that goes on saying a little forever
    end = threading.Timer(check["timeout"], lambda: connection.sock and connection.sock.shutdown(socket.SHUT_RDWR))
    end.daemon = True
    end.start()
    try:
        connection.connect()
        if check["protocol"] == "https":
            context = ssl.create_default_context()
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
            connection.sock = context.wrap_socket(connection.sock, server_hostname=check["name"])
        headers = {"Host": check["name"], "User-Agent": "cdktf-ha-geo-dns", "Connection": "close"}
        connection.request("GET", check["path"], headers=headers)
        return 200 <= connection.getresponse().status < 400
    except (OSError, http.client.HTTPException, ValueError):
        return False
    finally:
        end.cancel()
        connection.close()


class Watch:
    """The addresses of one name."""

    def __init__(self, check, down, changed):
        self.check, self.changed = check, changed
        self.addresses = sorted({address for own in check["regions"].values() for address in own})
        self.down = {address for address in down if address in self.addresses}
        self.row = dict.fromkeys(self.addresses, 0)

    def run(self):
        while True:
            start = time.monotonic()
            try:
                self.round()
            except Exception as error:  # no thread to be had, for one: without a next round nothing would ever be noticed again
                note(f"{self.check['name']}: not checked, tried again: {error!r}")
            time.sleep(max(0.1, self.check["interval"] - (time.monotonic() - start)))

    def round(self):
        results = {}
        threads = [threading.Thread(target=self.try_one, args=(address, results), daemon=True) for address in self.addresses]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(2 * self.check["timeout"] + 1)
        self.judge(results)

    def try_one(self, address, results):
        results[address] = answers(address, self.check)

    def judge(self, results):
        """So many in a row speak against what is believed: it is no longer believed."""
        before = set(self.down)
        for address in self.addresses:
            is_up = results.get(address, False)
            self.row[address] = self.row[address] + 1 if is_up == (address in self.down) else 0
            if self.row[address] >= self.check["rise" if is_up else "fall"]:
                self.row[address] = 0
                (self.down.discard if is_up else self.down.add)(address)
        for address in sorted(before ^ self.down):
            note(f"{self.check['name']}: {address} {'does not answer' if address in self.down else 'answers again'}")
        if before != self.down:
            if len(self.down) == len(self.addresses):
                note(f"{self.check['name']}: no address answers, so all of them stay")
            self.changed()


def watch():
    checks = load(os.path.join(ETC, "cdktf-ha-checks.json"))
    known = stored(DOWN) or {}
    changed = threading.Event()
    watches = [Watch(check, known.get(check["name"], []), changed.set) for check in checks["zones"]]
    for each in watches:
        threading.Thread(target=each.run, daemon=True).start()

    def databases():
        return [(found.st_ino, found.st_mtime_ns) for found in map(os.stat, filter(os.path.exists, checks["databases"]))]

    read, again = databases(), False
    while True:
        try:
            if changed.wait(5) or again or databases() != read:
                changed.clear()
                with alone():
                    store(DOWN, json.dumps({each.check["name"]: sorted(each.down) for each in watches}))
                    found = databases()
                    publish(again=found != read)
                    read, again = found, False
        except FAILURES as error:
            note(f"not published, tried again: {error!r}")
            again = True


def main(command):
    if command == "watch":
        watch()
    elif command in ("write", "publish"):
        with alone():
            (write if command == "write" else publish)()
    else:
        (healthy if command == "healthy" else trial)()


if __name__ == "__main__":
    try:
        main(sys.argv[1])
    except FAILURES as failure:
        sys.exit(str(failure) if isinstance(failure, Failed) else repr(failure))
