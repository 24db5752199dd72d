"""The member's certificates, its own and the set's for etcd: issued here where an authority was given, checked before it is used, seen when it is served."""
import os
import re
import shutil
import socket
import ssl
import struct

from node import ADDRESS, ETCD, FACTS, LIB, NAME, REST_PORT, TLS, Refused, note, run

SSL_REQUEST = struct.pack("!ii", 8, 80877103)


def issue(tell=note):
    """True where the member has a new one of its own; the set's is read with each connection to etcd."""
    if ETCD and "authority" in ETCD:
        issued(ETCD, tell, FACTS["scope"])
    if TLS and "authority" in TLS:
        return issued(TLS, tell, NAME, *TLS["alternatives"])
    return False


def issued(place, tell, *names):
    words = run("bash", os.path.join(LIB, "issue.sh"), place["authority"], place["certificate"], FACTS["scope"], *names)
    shutil.chown(place["certificate"], "root", "postgres")
    os.chmod(place["certificate"], 0o640)
    if words.stdout:
        tell(f"{names[0]} {words.stdout.strip()}")
    return bool(words.stdout)


def take_care():
    """A member does not stay down for want of a new certificate while it has an old one."""
    try:
        issue()
    except Refused as refused:
        if not all(os.path.exists(place["certificate"]) for place in (TLS, ETCD) if place):
            raise
        note(f"no new certificate: {refused}")


def check():
    """What it writes, the push throws away."""
    issue(tell=lambda words: None)
    if TLS:
        check_own()
    if ETCD:
        check_for_etcd()


def verified(place, purpose):
    """Empty, or why nobody takes it for that purpose."""
    own = place["certificate"]
    store = ("-no-CApath", "-no-CAstore", "-CAfile", place["trusted"])
    done = run("openssl", "verify", *store, "-purpose", purpose, "-untrusted", own, own, check=False)
    return (done.stderr or done.stdout).strip() if done.returncode else ""


def common_name(own):
    subject = run("openssl", "x509", "-in", own, "-noout", "-subject", "-nameopt", "multiline").stdout
    found = re.search(r"^ *commonName *= (.*)$", subject, re.M)
    return found.group(1) if found else ""


def check_for_etcd():
    own = ETCD["certificate"]
    if problem := verified(ETCD, "sslclient"):
        raise Refused(f"the certificate for etcd is of no authority that etcd trusts: {problem}")
    if (name := common_name(own)) != FACTS["scope"]:
        raise Refused(f"the certificate for etcd is in the name of '{name}', and the set is '{FACTS['scope']}'")
    check_key(own, "the certificate for etcd")


def check_own():
    own = TLS["certificate"]
    if problem := verified(TLS, "sslserver"):
        raise Refused(f"the certificate of {NAME} is of no authority in 'trusted': {problem}")
    if TLS["memberAuthentication"] == "certificate":
        if problem := verified(TLS, "sslclient"):
            raise Refused(f"the certificate of {NAME} is not for a client, as which it logs in at other members: {problem}")
        if (name := common_name(own)) != NAME:
            raise Refused(f"the certificate of {NAME} is in the name of '{name}', and other members know it as '{NAME}'")
    found = run("openssl", "x509", "-in", own, "-noout", "-checkip", ADDRESS, check=False).stdout
    if TLS["rest"] and "does match" not in found:
        raise Refused(f"the certificate of {NAME} is not for its address {ADDRESS}, by which members ask each other")
    check_key(own, NAME)


def check_key(own, whose):
    if run("openssl", "pkey", "-in", own, "-pubout").stdout != run("openssl", "x509", "-in", own, "-noout", "-pubkey").stdout:
        raise Refused(f"the key of {whose} is not its certificate's")


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
    for place in (TLS, ETCD):
        if not place or "authority" not in place:
            continue
        for path in (place["certificate"], f"{place['certificate']}.made-of"):
            if os.path.exists(path):
                os.remove(path)
