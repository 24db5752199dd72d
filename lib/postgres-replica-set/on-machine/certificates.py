"""The member's certificate: issued here where an authority was given, checked before it is used, seen when it is served."""
import os
import re
import shutil
import socket
import ssl
import struct

from node import ADDRESS, FACTS, LIB, NAME, REST_PORT, TLS, Refused, note, run

SSL_REQUEST = struct.pack("!ii", 8, 80877103)


def issue(tell=note):
    """True where the member has a new one."""
    if not TLS or "authority" not in TLS:
        return False
    words = run("bash", os.path.join(LIB, "issue.sh"), TLS["authority"], TLS["certificate"], FACTS["scope"], NAME, *TLS["alternatives"])
    shutil.chown(TLS["certificate"], "root", "postgres")
    os.chmod(TLS["certificate"], 0o640)
    if words.stdout:
        tell(words.stdout.strip())
    return bool(words.stdout)


def take_care():
    """A member does not stay down for want of a new certificate while it has an old one."""
    try:
        issue()
    except Refused as refused:
        if not os.path.exists(TLS["certificate"]):
            raise
        note(f"no new certificate: {refused}")


def check():
    """What it writes, the push throws away."""
    issue(tell=lambda words: None)
    own = TLS["certificate"]
    store = ("-no-CApath", "-no-CAstore", "-CAfile", TLS["trusted"])
    done = run("openssl", "verify", *store, "-purpose", "sslserver", "-untrusted", own, own, check=False)
    if done.returncode:
        raise Refused(f"the certificate of {NAME} is of no authority in 'trusted': {(done.stderr or done.stdout).strip()}")
    found = run("openssl", "x509", "-in", own, "-noout", "-checkip", ADDRESS, check=False).stdout
    if TLS["rest"] and "does match" not in found:
        raise Refused(f"the certificate of {NAME} is not for its address {ADDRESS}, by which members ask each other")
    if run("openssl", "pkey", "-in", own, "-pubout").stdout != run("openssl", "x509", "-in", own, "-noout", "-pubkey").stdout:
        raise Refused(f"the key of {NAME} is not its certificate's")


def parts():
    """What a running server has to read again when it changes."""
    if not TLS:
        return []
    found = []
    for name in ("certificate", "trusted"):
        with open(TLS[name]) as file:
            found.append(file.read())
    return found


def is_served():
    """Do PostgreSQL and Patroni show the certificate that stands in the file? They keep the old one where they cannot read it."""
    return shows(5432) and (not TLS["rest"] or shows(REST_PORT))


def shows(port):
    own = re.search(r"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", parts()[0], re.S).group()
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        with socket.create_connection((ADDRESS, port), timeout=5) as plain:
            if port != REST_PORT:
                plain.sendall(SSL_REQUEST)
                if plain.recv(1) != b"S":
                    return False
            with context.wrap_socket(plain) as shown:
                return shown.getpeercert(binary_form=True) == ssl.PEM_cert_to_DER_cert(own)
    except OSError:
        return False


def forget():
    """A key that was made here goes with the member."""
    if not TLS or "authority" not in TLS:
        return
    for path in (TLS["certificate"], f"{TLS['certificate']}.made-of"):
        if os.path.exists(path):
            os.remove(path)
