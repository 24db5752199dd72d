"""What the programs of a PostgreSQL member share: facts, Patroni's REST interface, the server on this machine, notes."""
import base64
import http.client
import json
import os
import socket
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.request

ETC = "/etc/patroni/cdktf-ha"
LIB = "/usr/local/lib/cdktf-ha/postgres"
UNIT = "patroni.service"
REST_PORT = 8008
DISSOLVES = "/run/cdktf-ha-dissolve"

with open(os.path.join(ETC, "facts.json")) as _file:
    FACTS = json.load(_file)
TLS = FACTS.get("tls")
ETCD = FACTS.get("etcd")  # where it speaks TLS
NAME, ADDRESS, DATA = FACTS["name"], FACTS["address"], FACTS["dataDirectory"]


class Refused(Exception):
    """Told in one line, without a stack."""


def end_with(act, *words):
    """What a program does; what it refuses is its last words."""
    try:
        sys.exit(act(*words))
    except Refused as refused:
        print(refused, file=sys.stderr)
        sys.exit(1)


def note(text):
    """In the journal too: a switchover is looked up there a year later."""
    print(text, flush=True)
    if "HA_NOTED" not in os.environ:
        subprocess.run(["logger", "--tag", "cdktf-ha-postgres", "--", text], check=False)


def run(*command, check=True, **more):
    done = subprocess.run(command, capture_output=True, text=True, check=False, **more)
    if check and done.returncode:
        raise Refused(f"{' '.join(command)}: {(done.stderr or done.stdout).strip()}")
    return done


def postgresql_conf(parameters):
    """Each of them quoted, as its parser takes it."""
    quoted = {name: str(value).replace("'", "''") for name, value in parameters.items()}
    return "".join(f"{name} = '{value}'\n" for name, value in quoted.items())


def is_active():
    return run("systemctl", "is-active", "--quiet", UNIT, check=False).returncode == 0


def member_password():
    with open(os.path.join(ETC, "member-password")) as file:
        return file.read()


def rest(path, method="GET", body=None, address=ADDRESS, seconds=10):
    """Status and answer of a member's Patroni; status 0 where nobody answers."""
    wanted, other = ("https", "http") if TLS and TLS["rest"] else ("http", "https")
    answer = ask(wanted, path, method, body, address, seconds)
    if answer[0] == 0 and address == ADDRESS:
        # this machine's own goes from one to the other with the next reload; nobody is between the two
        answer = max(answer, ask(other, path, method, body, address, seconds), key=lambda found: found[0])
    return answer


def context():
    """Members are known by the authority and by their addresses."""
    if TLS and TLS["rest"]:
        return ssl.create_default_context(cafile=TLS["trusted"])
    plain = ssl.create_default_context()
    plain.check_hostname, plain.verify_mode = False, ssl.CERT_NONE
    return plain


def ask(scheme, path, method, body, address, seconds):
    host = f"[{address}]" if ":" in address else address
    request = urllib.request.Request(f"{scheme}://{host}:{REST_PORT}{path}", method=method)
    if method not in ("GET", "OPTIONS"):
        login = base64.b64encode(f"patroni:{member_password()}".encode()).decode()
        request.add_header("Authorization", f"Basic {login}")
        request.add_header("Content-Type", "application/json")
        request.data = json.dumps(body or {}).encode()
    handlers = [urllib.request.HTTPSHandler(context=context())] if scheme == "https" else []
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), *handlers)  # members are near: no proxy's business
    try:
        with opener.open(request, timeout=seconds) as answer:
            return answer.status, parsed(answer.read())
    except urllib.error.HTTPError as error:
        return error.code, parsed(error.read())
    except (OSError, http.client.HTTPException) as error:
        return 0, str(error)


def listens(address, port=None):
    """True where a member's Patroni (or whatever has the port) listens, False where the machine says itself that none does, None where nothing is known."""
    try:
        with socket.create_connection((address, port or REST_PORT), timeout=5):
            return True
    except ConnectionRefusedError:
        return False
    except OSError:
        return None


def other_addresses():
    """Of the members in the code as this machine last heard of it, and of those that Patroni knows."""
    known = {**FACTS["members"], **{member["name"]: member["host"] for member in members() if "host" in member}}
    return sorted({address for name, address in known.items() if name != NAME and address != ADDRESS})


def another_leads(addresses):
    return any(rest("/leader", address=address, seconds=3)[0] == 200 for address in addresses)


def dissolves():
    """Said once for the whole set (terraform destroy), and true for a quarter of an hour."""
    return os.path.exists(DISSOLVES) and time.time() - os.path.getmtime(DISSOLVES) < 900


def parsed(answer):
    text = answer.decode(errors="replace")
    try:
        return json.loads(text)
    except ValueError:
        return text.strip()


def own_state():
    """What this member's Patroni says of its server; empty where it says nothing."""
    _, answer = rest("/patroni")
    return answer if isinstance(answer, dict) else {}


def members(address=ADDRESS):
    """Name, role (leader, sync_standby, replica) and state of each member, as etcd has it."""
    status, answer = rest("/cluster", address=address)
    return answer["members"] if status == 200 else []


def leads():
    return rest("/primary")[0] == 200


def stands_by():
    """Does this member lead a set that follows another one?"""
    return rest("/standby-leader")[0] == 200


RUNNING = ("running", "streaming")
LEADERS = ("leader", "master", "primary", "standby_leader")


def may_lead(member):
    return not member.get("tags", {}).get("nofailover")


def lacks_synchronous(found):
    """Do commits wait for nobody yet, though a member runs that they could wait for?"""
    if not settings().get("synchronous_mode") or any(member["role"] == "sync_standby" for member in found):
        return False
    leader = leader_of(found)
    return any(m["name"] != leader and m["state"] in RUNNING and not m.get("tags", {}).get("nosync") for m in found)


def is_alone():
    """Is nobody else in the set that may lead? An answer that does not come is no answer."""
    found = []

    def told():
        found[:] = members()
        return bool(found)

    wait_until(told, 30, "Patroni does not tell who the members are")
    return not any(member["name"] != NAME and may_lead(member) for member in found)


def leader_of(found):
    return next((member["name"] for member in found if member["role"] in LEADERS), None)


def settings():
    status, answer = rest("/config")
    return answer if status == 200 and isinstance(answer, dict) else {}


def sql(statement):
    """Lines of the answer of the server on this machine, as the superuser; None where there is no answer."""
    done = run(
        "runuser", "--user", "postgres", "--", "psql", "-XAtq", "--host", "/var/run/postgresql", "--dbname", "postgres",
        "--command", statement, check=False, cwd="/", env={**os.environ, "PGCONNECT_TIMEOUT": "5"},
    )  # fmt: skip
    return done.stdout.splitlines() if done.returncode == 0 else None


def takes_writes():
    """Whoever leads is still read-only for as long as its promotion takes."""
    return leads() and sql("select pg_is_in_recovery()") == ["f"]


def wait_until(is_so, seconds, problem, every=0.3):
    """Until something is so; its problem is asked when it does not come."""
    until = time.monotonic() + seconds
    while not is_so():
        if time.monotonic() > until:
            raise Refused(problem() if callable(problem) else problem)
        time.sleep(every)


def streams():
    return sql("select 1 from pg_stat_wal_receiver where status = 'streaming'") == ["1"]


def follows():
    """A delayed member asks for more only when it has applied what it has: its source keeps the rest for it until then."""
    return streams() or sql("select 1 from pg_stat_activity where wait_event = 'RecoveryApplyDelay'") == ["1"]


def behind():
    """Bytes of the log that this member has not received yet; None where nobody tells."""
    host = next((member.get("host") for member in members() if member["role"] in LEADERS), None)
    leader = rest("/patroni", address=host)[1] if host else None
    xlog = leader.get("xlog", {}) if isinstance(leader, dict) else {}
    own, there = own_state().get("xlog", {}).get("received_location"), xlog.get("location", xlog.get("received_location"))
    return None if own is None or there is None else max(0, there - own)
