#!/usr/bin/python3
"""Removes objects from this node's cache; what it has in variants (Vary) is replaced, each by a fresh one.

  squid-purge URL...     whole URLs; with a star at the end, everything that begins so: 'https://www.example.net/shop/*'

Squid has no index of URLs, so this looks up what there is in the heads of the objects on the disk. A URL of http:// is another object than
the same of https://.
"""

import glob
import http.client
import os
import re
import ssl
import struct
import sys
import urllib.parse

ETC = "/etc/squid"
HEAD = 8192  # of an object: its URL, which is that long at most, and what its variant was chosen by
ROCK_HEADER = ROCK_SLOT = 16384
ROCK_SLOT_HEADER = 40
URL, VARY = 4, 8


def read(path):
    try:
        with open(path) as file:
            return file.read()
    except FileNotFoundError:
        return ""


def described(head):
    """URL and variant of what begins like this on the disk: fields of one byte for the kind and four for the length."""
    if head[:1] != b"\3":
        return None
    end, at, found = struct.unpack_from("=i", head, 1)[0], 5, {}
    while at + 5 <= min(end, len(head)):
        kind, length = head[at], struct.unpack_from("=i", head, at + 1)[0]
        found[kind] = head[at + 5 : at + 5 + length]
        at += 5 + length
    return (found[URL].rstrip(b"\0").decode("latin-1"), found.get(VARY, b"").decode("latin-1")) if URL in found else None


def in_files(directory):
    for path in glob.iglob(f"{directory}/[0-9A-F][0-9A-F]/[0-9A-F][0-9A-F]/*"):
        try:
            with open(path, "rb") as file:
                yield file.read(HEAD)
        except FileNotFoundError:  # Squid has removed it meanwhile
            continue


def in_slots(directory):
    with open(os.path.join(directory, "rock"), "rb", buffering=0) as file:
        at, size = ROCK_HEADER, os.fstat(file.fileno()).st_size
        while at < size:
            yield os.pread(file.fileno(), HEAD, at + ROCK_SLOT_HEADER)
            at += ROCK_SLOT


def on_disk():
    conf = read(f"{ETC}/cdktf-ha-store.conf") + read(f"{ETC}/cdktf-ha-sizes.conf")
    for kind, directory in re.findall(r"^cache_dir (\w+) (\S+)", conf, re.MULTILINE):
        yield from filter(None, map(described, (in_slots if kind == "rock" else in_files)(directory)))


def headers_of(vary):
    """name="value", name (which the visitor did not send), ..."""
    return {name: urllib.parse.unquote(value) for name, value in re.findall(r'([^\s,="]+)="([^"]*)"', vary)}


def ask(connection, method, target, headers):
    """Nothing is added to the headers: they choose the variant."""
    connection.putrequest(method, target, skip_host=True, skip_accept_encoding=True)
    for name, value in headers.items():
        connection.putheader(name, value)
    connection.endheaders()
    answer = connection.getresponse()
    answer.read()
    return answer.status


def fetch(url, headers):
    """As a visitor who does not want what is kept."""
    parts = urllib.parse.urlsplit(url)
    if parts.scheme == "https":
        # the way to oneself: the certificate is for a name that leads elsewhere
        visitor = http.client.HTTPSConnection("127.0.0.1", parts.port or 443, timeout=30, context=ssl._create_unverified_context())
    else:
        visitor = http.client.HTTPConnection("127.0.0.1", parts.port or 80, timeout=30)
    target = urllib.parse.urlunsplit(("", "", *parts[2:]))
    return ask(visitor, "GET", target, {**headers, "Cache-Control": "no-cache", "Connection": "close"})


def main(wanted):
    port = re.search(r"^http_port 127\.0\.0\.1:(\d+) ", read(f"{ETC}/squid.conf"), re.MULTILINE).group(1)
    squid = http.client.HTTPConnection("127.0.0.1", int(port), timeout=60)

    def is_wanted(url):
        return any(url.startswith(each[:-1]) if each.endswith("*") else url == each for each in wanted)

    # what is named is asked for in any case: it may be in memory only
    found = {url: set() for url in wanted if not url.endswith("*")}
    for url, vary in on_disk():
        if is_wanted(url):
            found.setdefault(url, set()).update([vary] if vary else [])
    removed = replaced = 0
    for url, variants in sorted(found.items()):
        host = {"Host": urllib.parse.urlsplit(url).netloc}
        # By a PURGE of one variant Squid forgets that there are others, and remembers the old ones at the next that it fetches.
        for vary in sorted(variants):
            status = fetch(url, {**host, **headers_of(vary)})
            if status >= 500:
                sys.exit(f"{url}: not fetched anew, an origin answers {status}")
            replaced += 1
        if not variants:
            status = ask(squid, "PURGE", url, host)
            if status not in (200, 404):
                sys.exit(f"PURGE {url}: Squid answers {status}")
            removed += status == 200
    print(f"{removed} objects removed, {replaced} fetched anew")


if __name__ == "__main__":
    if len(sys.argv) < 2 or any(not re.match(r"https?://[^/\s]+/", each) for each in sys.argv[1:]):
        sys.exit(__doc__)
    main(sys.argv[1:])
