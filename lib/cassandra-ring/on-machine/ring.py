"""What a Cassandra node's hooks say in CQL. Runs as root; the superuser's login and all facts are in files below ETC.

  ring.py settle [PREVIOUS-LOGIN]    superuser, own tables, this node's row, a quorum's answer
  ring.py seen                       does every other node see all replicas as up?
  ring.py predecessor ADDRESS...     prints the address of the dead node whose place this one takes; nothing if none
  ring.py allocate COPIES ADDRESS... prints for how many copies the tokens of this node can be spread when it joins
  ring.py gone                       prints whether this node is still a member of the ring: member, gone or unknown
  ring.py leave                      decommissions this node, where the others can do without it
  ring.py schema FILE [PREVIOUS]     keyspaces and roles as the file has them
  ring.py upkeep                     cleanup and repair that changes of the ring or of keyspaces have made necessary
  ring.py locked NAME COMMAND...     runs a command while no other node of the ring holds the lock
  ring.py describe                   prints the tables of the ring's users, as statements
  ring.py cql STATEMENT...           runs statements as the superuser, prints rows
"""
import contextlib
import json
import os
import re
import shlex
import socket
import ssl
import subprocess
import sys
import threading
import time
import uuid

from cassandra import AuthenticationFailed, ConsistencyLevel, InvalidRequest, OperationTimedOut, ReadTimeout, WriteTimeout
from cassandra.auth import PlainTextAuthProvider
from cassandra.cluster import EXEC_PROFILE_DEFAULT, Cluster, ExecutionProfile, NoHostAvailable
from cassandra.policies import WhiteListRoundRobinPolicy
from cassandra.query import SimpleStatement

LIB = "/usr/local/lib/cdktf-ha/cassandra"
ETC = "/etc/cassandra/cdktf-ha"
OWN = "cdktf_ha"
TABLES = {
    "nodes": "name text PRIMARY KEY, address text, free_bytes bigint, used_bytes bigint, at timestamp",
    "probe": "id text PRIMARY KEY, value text",
    "locks": "name text PRIMARY KEY, holder text",
    "altered": "keyspace_name text PRIMARY KEY, raised timestamp, lowered timestamp",
}
LOCK_SECONDS = 120


class Refused(Exception):
    """Told in one line, without a stack."""


def facts():
    """The shell's facts, read by a shell: names and values in its own quoting."""
    values = {}
    for name in ("ring", "launch"):
        with open(os.path.join(ETC, name)) as file:
            for word in shlex.split(file.read(), comments=True):
                key, _, value = word.partition("=")
                values[key] = value
    return values


FACTS = facts()
NODE, ADDRESS, DATACENTER = FACTS["RING_NODE"], FACTS["RING_ADDRESS"], FACTS["RING_DATACENTER"]
NODES = [line.split() for line in FACTS["RING_NODES"].splitlines() if line.strip()]  # name, address, datacenter, rack
DATA = FACTS["RING_DATA"]


def note(text):
    print(text, flush=True)
    subprocess.run(["logger", "--tag", "cdktf-ha-cassandra", "--", text], check=False)


def login_of(path):
    with open(path) as file:
        user, _, password = file.read().partition("\n")
    return user, password


def tls_context():
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False  # the trusted authorities are the ring's own, and addresses are what is dialled
    context.load_verify_locations("/etc/cassandra/tls/trusted.pem")
    own = os.path.join(DATA, "tls/node.pem") if FACTS["RING_TLS"] == "authority" else "/etc/cassandra/tls/node.pem"
    context.load_cert_chain(own)
    return context


def ways():
    """
    TLS or plain, in the order in which they are tried. While a ring goes from plain to TLS, other nodes have gone there already
    or have not; a node that was itself started with TLS tells nobody a password in plain.
    """
    wanted = FACTS["RING_TLS_CLIENT"]
    if wanted == "none":
        return [None]
    try:
        with open("/run/cassandra/started-with.tls") as file:
            running = file.read().strip()
    except FileNotFoundError:
        running = wanted
    return [tls_context()] + ([None] if running == "none" else [])


def refused_login(error):
    # a list of addresses where a first connection could log in and the ones that follow could not
    return isinstance(error.errors, dict) and any(isinstance(inner, AuthenticationFailed) for inner in error.errors.values())


def connected(host, login=None):
    """A session by way of one node. Until the first node has told the ring a new password, the one before holds."""
    try:
        return connected_as(host, login)
    except NoHostAvailable as error:
        previous = os.path.join(os.environ.get("HA_DIR", ""), "../current/root", ETC[1:], "login")
        if login or not refused_login(error) or not os.path.exists(previous):
            raise
    return connected_as(host, login_of(previous))


def patiently(ask):
    """What a busy node does not answer in time is asked again, for a minute: whatever it is, done twice it must be the same."""
    until = time.monotonic() + 60
    while True:
        try:
            return ask()
        except (OperationTimedOut, ReadTimeout, WriteTimeout, NoHostAvailable) as error:
            if time.monotonic() > until or isinstance(error, NoHostAvailable) and refused_login(error):
                raise
            time.sleep(1)


def here():
    """A session by way of this node, which is up."""
    return patiently(lambda: connected(ADDRESS))


def connected_as(host, login):
    *others, last = ways()
    for context in others:
        try:
            return Session(host, login, context)
        except NoHostAvailable as error:
            if refused_login(error):
                raise
    return Session(host, login, last)


class Session:
    """By way of one node, and no other."""

    def __init__(self, host, login, context):
        user, password = login or login_of(os.path.join(ETC, "login"))
        profile = ExecutionProfile(load_balancing_policy=WhiteListRoundRobinPolicy([host]), request_timeout=30)
        self.cluster = Cluster(
            [host],
            auth_provider=PlainTextAuthProvider(user, password),
            execution_profiles={EXEC_PROFILE_DEFAULT: profile},
            ssl_context=context,
            protocol_version=4,
            schema_metadata_enabled=False,
            token_metadata_enabled=False,
            connect_timeout=10,
            control_connection_timeout=10,
        )
        try:
            self.session = self.cluster.connect()
        except BaseException:
            self.cluster.shutdown()
            raise

    def run(self, text, values=None, consistency="LOCAL_QUORUM", once=False):
        level = ConsistencyLevel.name_to_value[consistency]
        statement = SimpleStatement(text, consistency_level=level, serial_consistency_level=ConsistencyLevel.SERIAL)

        def ask():
            return list(self.session.execute(statement, values))

        return ask() if once else patiently(ask)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.cluster.shutdown()


def may_log_in(host, login):
    try:
        connected(host, login).cluster.shutdown()
        return True
    except NoHostAvailable as error:
        if refused_login(error):
            return False
        raise


def quoted(text):
    return "'" + text.replace("'", "''") + "'"


def identifier(name):
    return '"' + name.replace('"', '""') + '"'


def replication_of(copies):
    parts = ["'class': 'NetworkTopologyStrategy'"] + [f"{quoted(dc)}: {n}" for dc, n in sorted(copies.items()) if n]
    return "{" + ", ".join(parts) + "}"


def copies_now(session, keyspace):
    """Copies by datacenter; None where there is no such keyspace, "simple" where its strategy knows no datacenters."""
    rows = session.run("SELECT replication FROM system_schema.keyspaces WHERE keyspace_name = %s", (keyspace,), "ONE")
    if not rows:
        return None
    options = dict(rows[0].replication)
    if not options.pop("class").endswith("NetworkTopologyStrategy"):
        return "simple"
    return {dc: int(n.split("/")[0]) for dc, n in options.items()}


def nodetool(*arguments, check=True):
    return subprocess.run(
        [os.path.join(LIB, "nodetool"), *arguments], check=check, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


# settle -----------------------------------------------------------------------------------------------------------------


def settle(previous_login=None):
    login = login_of(os.path.join(ETC, "login"))
    begin_datacenter(login)
    with superuser(login, previous_login) as session:
        make_own_tables(session)
        session.run(
            f"INSERT INTO {OWN}.nodes (name, address, free_bytes, used_bytes, at) VALUES (%s, %s, %s, %s, toTimestamp(now()))",
            (NODE, ADDRESS, *space()),
        )
        probe(session)


def begin_datacenter(login):
    """A datacenter's first node finds no login and no lock in it: the other ones give it a copy of both."""
    for _, address, datacenter, _ in NODES:
        if datacenter == DATACENTER:
            continue
        try:
            session = connected(address, login)
        except NoHostAvailable:
            continue
        with session:
            for keyspace in ("system_auth", OWN):
                copies = copies_now(session, keyspace)
                if isinstance(copies, dict) and not copies.get(DATACENTER):
                    begin_filling(keyspace)
                    session.run(f"ALTER KEYSPACE {keyspace} WITH replication = {replication_of({**copies, DATACENTER: 1})}")
                    note(f"keyspace {keyspace} has a copy in {DATACENTER} from now on")
                fill(keyspace)
        return


def filling(keyspace):
    return os.path.join(DATA, f"cdktf-ha-fills-{keyspace}")


def begin_filling(keyspace):
    """Before new copies of it are empty: whatever is cut short, the next push fills them."""
    with open(filling(keyspace), "w") as file:
        os.fsync(file.fileno())


def fill(keyspace):
    """Logins and locks are read at one copy: new ones must not stay empty."""
    if os.path.exists(filling(keyspace)):
        persistently("repair", "-full", keyspace)
        os.unlink(filling(keyspace))


def persistently(*arguments):
    """A repair ends where another node is out of sight for a moment, a busy one's pause for instance: it is tried three times."""
    for tries_left in (2, 1, 0):
        result = nodetool(*arguments, check=False)
        if not result.returncode:
            return
        command = f"nodetool {' '.join(arguments)}"
        note(f"{command} failed: {' '.join(result.stdout.split())[-300:]}")
        if not tries_left:
            raise Refused(f"{command}: {result.stdout.strip()[-800:]}")
        time.sleep(15)


def superuser(login, previous_login):
    """A session as the superuser, who is made where the ring is new and given a new password where that has changed."""
    until = time.monotonic() + 60
    others = [login_of(previous_login)] if previous_login and os.path.exists(previous_login) else []
    others.append(("cassandra", "cassandra"))
    while True:
        problem = ""
        try:
            if may_log_in(ADDRESS, login):
                session = connected(ADDRESS, login)
                break
            other = next((other for other in others if may_log_in(ADDRESS, other)), None)
            if other:
                with connected(ADDRESS, other) as session:
                    make_role(session, login[0], login[1], True)
        except NoHostAvailable as error:
            # logins are read at one copy, and kept for 2 s: just changed, one connection knows the new password and the next does not
            problem = f": {error}"
        # a ring that is just beginning takes a moment for its first role
        if time.monotonic() > until:
            raise Refused(f"role '{login[0]}' cannot log in with the password that was pushed{problem}")
        time.sleep(1)
    try:
        if may_log_in(ADDRESS, ("cassandra", "cassandra")):
            session.run(
                f"ALTER ROLE cassandra WITH PASSWORD = {quoted(uuid.uuid4().hex + uuid.uuid4().hex)} AND SUPERUSER = false AND LOGIN = false"
            )
            note("the default superuser 'cassandra' is switched off")
    except BaseException:
        session.cluster.shutdown()
        raise
    return session


def make_role(session, name, password, is_superuser):
    known = {row.role: row for row in session.run("SELECT role, is_superuser, can_login FROM system_auth.roles", consistency="ONE")}
    verb = "ALTER" if name in known else "CREATE"
    statement = f"{verb} ROLE {identifier(name)} WITH PASSWORD = {quoted(password)}"
    # nobody may say of itself whether it is a superuser, not even that it stays one
    if name not in known or known[name].is_superuser != is_superuser or not known[name].can_login:
        statement += f" AND SUPERUSER = {str(is_superuser).lower()} AND LOGIN = true"
    try:
        session.run(statement)
    except InvalidRequest:
        if verb == "ALTER":
            raise
        # it is there all the same: asked for twice, or the copy that was asked did not know
        session.run(statement.replace("CREATE", "ALTER", 1))


def make_own_tables(session):
    if copies_now(session, OWN) is None:
        for keyspace in (OWN, "system_auth"):
            if copies_now(session, keyspace) is None:
                session.run(f"CREATE KEYSPACE IF NOT EXISTS {keyspace} WITH replication = {replication_of({DATACENTER: 1})}")
            elif copies_now(session, keyspace) == "simple":
                session.run(f"ALTER KEYSPACE {keyspace} WITH replication = {replication_of({DATACENTER: 1})}")
    rows = session.run("SELECT table_name FROM system_schema.tables WHERE keyspace_name = %s", (OWN,), "ONE")
    for name, columns in TABLES.items():
        if name not in {row.table_name for row in rows}:
            session.run(f"CREATE TABLE IF NOT EXISTS {OWN}.{name} ({columns})")


def space():
    """Bytes that are free where the data lie, and bytes of data."""
    disk = os.statvfs(DATA)
    used = int(subprocess.run(["du", "-sb", os.path.join(DATA, "data")], stdout=subprocess.PIPE, check=False, text=True).stdout.split()[0] or 0)
    return disk.f_bavail * disk.f_frsize, used


def probe(session, consistency="LOCAL_QUORUM"):
    """A row written and read, once for each node's name, so that every range of a small ring is asked."""
    value = uuid.uuid4().hex
    copies = (copies_now(session, OWN) or {}).get(DATACENTER, 0)
    until = time.monotonic() + 60
    for name in [node[0] for node in NODES if node[2] == DATACENTER]:
        while True:
            try:
                session.run(f"INSERT INTO {OWN}.probe (id, value) VALUES (%s, %s)", (name, value), consistency, once=True)
                rows = session.run(f"SELECT value FROM {OWN}.probe WHERE id = %s", (name,), consistency, once=True)
                break
            except Exception as error:  # another node is just coming up
                if time.monotonic() > until:
                    raise Refused(f"a row could not be written and read at {consistency} ({copies} copies): {error}") from error
                time.sleep(1)
        if [row.value for row in rows] != [value]:
            raise Refused(f"a row that was written at {consistency} was not read back")


def seen():
    """A node takes a write at ALL only where it sees every replica as up."""
    for name, address, datacenter, _ in NODES:
        if address == ADDRESS or address not in ring_addresses():
            continue
        with connected(address) as session:
            copies = copies_now(session, OWN)
            if copies is None or copies == "simple":
                continue
            for _, other, other_datacenter, _ in NODES:
                if other_datacenter == datacenter:
                    session.run(f"INSERT INTO {OWN}.probe (id, value) VALUES (%s, %s)", (f"seen by {name} {other}", ""), "ALL", once=True)


_ring = None


def ring_addresses():
    """Addresses of the nodes that have joined, this one among them."""
    global _ring
    if _ring is None:
        with connected(ADDRESS) as session:
            _ring = {ADDRESS} | {row.peer for row in session.run("SELECT peer FROM system.peers", consistency="ONE")}
    return _ring


# predecessor, leave -----------------------------------------------------------------------------------------------------


def asked(alive, question):
    """What the first of some nodes that can be asked says."""
    errors = []
    for address in alive:
        try:
            with connected(address) as session:
                return question(session)
        except (NoHostAvailable, OSError) as error:
            errors.append(f"{address}: {error}")
    raise Refused("; ".join(errors))


def peers_of(session):
    return {row.peer for row in session.run("SELECT peer FROM system.peers", consistency="ONE")}


def predecessor(*alive):
    def question(session):
        peers = peers_of(session)
        if ADDRESS in peers:
            return ADDRESS
        rows = session.run(f"SELECT address FROM {OWN}.nodes WHERE name = %s", (NODE,), "ONE")
        return rows[0].address if rows and rows[0].address in peers else ""

    print(asked(alive, question))


def allocate(wanted, *alive):
    """
    Tokens are allocated by racks: with more than one of them, but fewer than copies, Cassandra refuses to. They are spread for as
    many copies as there are racks then; a node that brings a rack of its own is counted by itself.
    """

    def question(session):
        rows = [row for table in ("local", "peers") for row in session.run(f"SELECT data_center, rack FROM system.{table}", consistency="ONE")]
        racks = {row.rack for row in rows if row.data_center == DATACENTER}
        return min(int(wanted), len(racks)) if FACTS["RING_RACK"] in racks and len(racks) > 1 else int(wanted)

    print(asked(alive, question))


def gone():
    """
    Is this node no member any more, in the eyes of all the others that answer? After a decommission it answers nobody itself.
    Prints member, gone, or unknown where nobody answers.
    """
    listed = []
    for _, address, _, _ in NODES:
        if address == ADDRESS:
            continue
        try:
            with connected(address) as session:
                listed.append(ADDRESS in peers_of(session))
        except (NoHostAvailable, OSError):
            pass
    print("member" if any(listed) else "gone" if listed else "unknown")


def leave():
    # where a leave was cut off, this node takes no more requests
    takes_requests = nodetool("statusbinary", check=False).stdout.strip() == "running"
    first = ADDRESS if takes_requests else wait_until_others_are_normal(120)[0]
    # one after the other: two that leave at once would wait for each other to be up, and hand each other their rows
    with connected(first) as near, contextlib.ExitStack() as later, Lock(near, "membership") as lock:
        others = wait_until_others_are_normal(120)
        session = later.enter_context(connected(others[0]))
        lock.session = session  # this node's own port closes
        rows = session.run("SELECT data_center FROM system.peers", consistency="ONE") + session.run(
            "SELECT data_center FROM system.local", consistency="ONE"
        )
        remaining = sum(1 for row in rows if row.data_center == DATACENTER) - 1
        if remaining:
            leave_copies(session, remaining)
        else:
            refuse_last_of_datacenter(session)
        check_space(session, remaining)
        lock.check()
        note(f"leaves the ring: its rows go to {remaining} other nodes of {DATACENTER}")
        # Cassandra counts its own keyspaces too, which are the other datacenters' from here on; 3.11 does not count
        force = [] if remaining or FACTS["RING_RELEASE"].startswith("3.") else ["--force"]
        decommission(force)
        wait_until_forgotten(others, 120)
        session.run(f"DELETE FROM {OWN}.nodes WHERE name = %s", (NODE,))
        if not remaining:
            drop_copies(session)


def wait_until_others_are_normal(seconds):
    """The addresses of all others, when every one is up and normal in the eyes of this node and of one another."""
    global _ring
    until = time.monotonic() + seconds
    pause = 2
    while True:
        everybody = {address: state for address, (state, _) in states().items()}
        others = {address: state for address, state in everybody.items() if address != ADDRESS}
        problems = [f"{address} is {state}" for address, state in others.items() if state != "UN"]
        if everybody.get(ADDRESS, "").endswith("M"):
            problems.append("this node is moving")
        if not others:
            problems = ["nodetool has no answer"]
        if not problems:
            try:
                # all of them have joined; and this node may take no questions any more
                _ring = set(everybody)
                seen()
                return sorted(others)
            except Exception as error:
                problems = [str(error)]
        if time.monotonic() > until:
            raise Refused(f"a node only leaves while all others are there: {'; '.join(problems)}")
        time.sleep(pause)
        pause = min(pause + 1, 8)


def states():
    """STATE and bytes of data by address, as this node sees the ring."""
    units = {"bytes": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40}
    lines = nodetool("status", check=False).stdout.splitlines()
    found = (re.match(r"([UD?][NJLM])\s+(\S+)\s+(?:([\d.]+) (\w+)|\?)", line) for line in lines)
    return {match[2]: (match[1], int(float(match[3]) * units.get(match[4], 1)) if match[3] else 0) for match in found if match}


def decommission(options):
    """Until it is done. A decommission outlives who asked for it; asked again, 5.0 says that all is well, and 4.x that it goes on."""
    # It knows before the others that it has left: a read by way of them would miss what was just written by way of it.
    nodetool("disablebinary")
    while True:
        result = nodetool("decommission", *options, check=False)
        mode = re.search(r"^Mode: (\w+)", nodetool("netstats", check=False).stdout, re.MULTILINE)
        mode = mode[1] if mode else "unknown"
        if mode == "DECOMMISSIONED":
            return
        if mode != "LEAVING" or (result.returncode and "still decommissioning" not in result.stdout):
            if mode == "NORMAL":
                nodetool("enablebinary", check=False)
            raise Refused(f"nodetool decommission (the node is {mode}): {result.stdout.strip()[-600:]}")
        time.sleep(5)


def wait_until_forgotten(others, seconds):
    until = time.monotonic() + seconds
    for address in others:
        with connected(address) as session:
            while ADDRESS in peers_of(session):
                if time.monotonic() > until:
                    raise Refused(f"decommissioned, but {address} still takes it for a member; apply again")
                time.sleep(1)


def keyspaces(session):
    """Every keyspace that is replicated, with its copies in this datacenter."""
    for row in session.run("SELECT keyspace_name FROM system_schema.keyspaces", consistency="ONE"):
        copies = copies_now(session, row.keyspace_name)
        if isinstance(copies, dict):
            yield row.keyspace_name, copies


def is_own(keyspace):
    return keyspace in (OWN, "system") or keyspace.startswith("system_")


def leave_copies(session, remaining):
    for keyspace, copies in keyspaces(session):
        count = copies.get(DATACENTER, 0)
        if count > remaining and not is_own(keyspace):
            raise Refused(
                f"keyspace {keyspace} has {count} copies in {DATACENTER}, where {remaining} nodes would be left: lower its replicationFactor first, and apply"
            )
        if count > remaining:
            session.run(f"ALTER KEYSPACE {keyspace} WITH replication = {replication_of({**copies, DATACENTER: remaining})}")
            note(f"keyspace {keyspace} has {remaining} copies in {DATACENTER} from now on")


def refuse_last_of_datacenter(session):
    for keyspace, copies in keyspaces(session):
        if copies.get(DATACENTER, 0) and not is_own(keyspace):
            raise Refused(
                f"keyspace {keyspace} still has copies in {DATACENTER}, whose last node this is: take {DATACENTER} out of its replicationFactor first, and apply"
            )


def drop_copies(session):
    """
    What Cassandra and the ring themselves keep in a datacenter goes when its last node has gone: from 4.1 on, logins have a copy
    wherever there is a node, and until then a leave that was cut off still finds its lock.
    """
    for keyspace, copies in keyspaces(session):
        if copies.get(DATACENTER, 0):
            session.run(f"ALTER KEYSPACE {identifier(keyspace)} WITH replication = {replication_of({**copies, DATACENTER: 0})}")


def check_space(session, remaining):
    """Half of what is free has to stay free: compaction needs room for a second copy of what it works on."""
    used = space()[1]
    rows = session.run(f"SELECT name, address, free_bytes, used_bytes FROM {OWN}.nodes", consistency="ONE")
    datacenter_of = {node[1]: node[2] for node in NODES}
    # noted when they were last changed: what has come since is no longer free
    load = {address: bytes_now for address, (_, bytes_now) in states().items()}
    free = [
        max(0, row.free_bytes - max(0, load[row.address] - (row.used_bytes or 0)))
        for row in rows
        if row.name != NODE and row.free_bytes and row.address in load and datacenter_of.get(row.address, DATACENTER) == DATACENTER
    ]
    if remaining and free and used / remaining > min(free) / 2:
        raise Refused(
            f"this node holds {used >> 20} MiB, {used // remaining >> 20} MiB for each of {remaining} others; one of them has {min(free) >> 20} MiB free, of which half has to stay free for compaction"
        )


# locks ------------------------------------------------------------------------------------------------------------------


class Lock:
    """One holder in the whole ring. It expires by itself where its holder dies, and is renewed while that lives."""

    def __init__(self, session, name, wait_seconds=12 * 3600):
        self.session, self.name, self.wait = session, name, wait_seconds
        self.holder = f"{NODE} {os.getpid()} {uuid.uuid4().hex[:8]}"
        self.stop = threading.Event()
        self.lost = False

    def __enter__(self):
        until = time.monotonic() + self.wait
        told = None
        while True:
            row = self.session.run(
                f"INSERT INTO {OWN}.locks (name, holder) VALUES (%s, %s) IF NOT EXISTS USING TTL {LOCK_SECONDS}", (self.name, self.holder)
            )[0]
            if row.applied:
                break
            if row.holder == self.holder:  # asked for again: it has been given a while ago
                self.prolong()
                break
            if row.holder != told:
                told = row.holder
                note(f"waits for {told.split(' ')[0]}, which holds the lock '{self.name}'")
            if time.monotonic() > until:
                raise Refused(f"the lock '{self.name}' was not free within {self.wait} s")
            time.sleep(3)
        self.thread = threading.Thread(target=self.renew, daemon=True)
        self.thread.start()
        return self

    def renew(self):
        while not self.stop.wait(LOCK_SECONDS / 4):
            try:
                self.prolong()
                if self.lost:
                    note(f"has lost the lock '{self.name}': it was not renewed in time")
                    return
            except Exception:  # tried again before it expires
                pass

    def prolong(self):
        row = self.session.run(
            f"UPDATE {OWN}.locks USING TTL {LOCK_SECONDS} SET holder = %s WHERE name = %s IF holder = %s",
            (self.holder, self.name, self.holder),
        )[0]
        self.lost = not row.applied

    def check(self):
        if self.lost:
            raise Refused(f"the lock '{self.name}' was lost: another node may hold it by now")

    def __exit__(self, *_):
        self.stop.set()
        self.thread.join()
        try:
            self.session.run(f"DELETE FROM {OWN}.locks WHERE name = %s IF holder = %s", (self.name, self.holder))
        except Exception:  # it expires
            pass


def locked(name, *command):
    # timers of all nodes fire at once, and a repair may take hours on each: the last one still has its turn this week
    with here() as session, Lock(session, name, 6 * 24 * 3600):
        return subprocess.run(command, check=False).returncode


# keyspaces and roles ------------------------------------------------------------------------------------------------------


def schema(path, previous_path=None):
    with open(path) as file:
        wanted = json.load(file)
    previous = {"roles": [], "keyspaces": []}
    if previous_path and os.path.exists(previous_path):
        with open(previous_path) as file:
            previous = json.load(file)
    with here() as session, Lock(session, "membership"):
        for name, copies in sorted(wanted["system"].items()):
            # where every node has every row, one node's repair is all that is needed
            everywhere = all(sum(node[2] == dc for node in NODES) <= n for dc, n in copies.items())
            alter(session, name, copies, notes=not everywhere, fills=name in ("system_auth", OWN) and len(NODES) > 1)
            fill(name)
        for keyspace in wanted["keyspaces"]:
            durable = str(keyspace["durableWrites"]).lower()
            if copies_now(session, keyspace["name"]) is None:
                session.run(
                    f"CREATE KEYSPACE IF NOT EXISTS {identifier(keyspace['name'])} WITH replication = {replication_of(keyspace['copies'])} AND durable_writes = {durable}"
                )
                note(f"created keyspace {keyspace['name']} {replication_of(keyspace['copies'])}")
            else:
                alter(session, keyspace["name"], keyspace["copies"])
                found = session.run("SELECT durable_writes FROM system_schema.keyspaces WHERE keyspace_name = %s", (keyspace["name"],), "ONE")
                if found and found[0].durable_writes != keyspace["durableWrites"]:
                    session.run(f"ALTER KEYSPACE {identifier(keyspace['name'])} WITH durable_writes = {durable}")
                    note(f"keyspace {keyspace['name']}: durable_writes = {durable}")
        for gone in {k["name"] for k in previous["keyspaces"]} - {k["name"] for k in wanted["keyspaces"]}:
            note(f"keyspace {gone} has left the code; it stays, with its rows. To drop it: DROP KEYSPACE")
        for role in wanted["roles"]:
            before = next((r for r in previous["roles"] if r["name"] == role["name"]), {"grants": {}})
            apply_role(session, role, before)
        for gone in {r["name"] for r in previous["roles"]} - {r["name"] for r in wanted["roles"]}:
            session.run(f"DROP ROLE IF EXISTS {identifier(gone)}")
            note(f"dropped role {gone}, which has left the code")


def alter(session, name, wanted, notes=True, fills=False):
    """One ALTER where the copies differ. What it makes necessary on each node is noted first, so that no crash loses it."""
    wanted = {dc: n for dc, n in wanted.items() if n}
    now = copies_now(session, name)
    if now == wanted or now is None:
        return
    before = {} if now == "simple" else now
    raised = now == "simple" or any(n > before.get(dc, 0) for dc, n in wanted.items())
    lowered = any(n > wanted.get(dc, 0) for dc, n in before.items())
    for column, is_so in (("raised", raised), ("lowered", lowered)):
        if is_so and notes:
            session.run(f"UPDATE {OWN}.altered SET {column} = toTimestamp(now()) WHERE keyspace_name = %s", (name,))
    if raised and fills:
        begin_filling(name)
    session.run(f"ALTER KEYSPACE {identifier(name)} WITH replication = {replication_of(wanted)}")
    note(f"altered keyspace {name}: {before or 'SimpleStrategy'} to {wanted}")


def apply_role(session, role, before):
    with open(role["passwordFile"]) as file:
        password = file.read()
    rows = session.run("SELECT role, is_superuser FROM system_auth.roles WHERE role = %s", (role["name"],), "LOCAL_ONE")
    if not rows or rows[0].is_superuser != role["superuser"] or not patiently(lambda: may_log_in(ADDRESS, (role["name"], password))):
        make_role(session, role["name"], password, role["superuser"])
        note(f"{'changed' if rows else 'created'} role {role['name']}")
    for keyspace, permissions in role["grants"].items():
        for permission in permissions:
            session.run(f"GRANT {permission} ON KEYSPACE {identifier(keyspace)} TO {identifier(role['name'])}")
    for keyspace, permissions in before["grants"].items():
        for permission in set(permissions) - set(role["grants"].get(keyspace, [])):
            session.run(f"REVOKE {permission} ON KEYSPACE {identifier(keyspace)} FROM {identifier(role['name'])}")


# upkeep -------------------------------------------------------------------------------------------------------------------


def upkeep():
    """Each piece is noted as done when it is done: what a crash interrupts is done again, and nothing twice."""
    path = os.path.join(DATA, "cdktf-ha-upkeep")
    now = int(time.time() * 1000)
    names = sorted(node[0] for node in NODES)
    if os.path.exists(path):
        with open(path) as file:
            done = json.load(file)
    else:
        # what this node streamed when it joined is all it has to have
        done = {"members": names, "since": joined_at(), "raised": {}, "lowered": {}}

    def save():
        with open(path + ".new", "w") as file:
            json.dump(done, file)
            file.flush()
            os.fsync(file.fileno())
        os.rename(path + ".new", path)

    replaced = os.path.join(DATA, "cdktf-ha-replaced")
    if os.path.exists(replaced):
        # it got each row from one copy, which may have missed what the dead node had
        timed("took a dead node's place", "repair", "-full")
        os.unlink(replaced)
    with here() as session:
        rows = session.run(f"SELECT keyspace_name, raised, lowered FROM {OWN}.altered")
    for kind, arguments in (("raised", ["repair", "-full", "-pr"]), ("lowered", ["cleanup"])):
        for row in sorted(rows, key=lambda row: row.keyspace_name):
            at = getattr(row, kind)
            at = int(at.timestamp() * 1000) if at else 0
            if at <= max(done["since"], done[kind].get(row.keyspace_name, 0)):
                continue
            timed(f"{kind} replication of {row.keyspace_name}", *arguments, row.keyspace_name)
            done[kind][row.keyspace_name] = at
            save()
    if set(names) - set(done["members"]):
        timed(f"new nodes {', '.join(sorted(set(names) - set(done['members'])))}", "cleanup")
    done["members"] = names
    save()
    return now


def joined_at():
    """In milliseconds; a moment earlier, because what was altered while the node joined may have passed it by."""
    return int(os.stat(os.path.join(DATA, "cdktf-ha-node")).st_ctime * 1000) - 1


def timed(why, *arguments):
    """While no other node does the like."""
    command = " ".join(arguments)
    with here() as session, Lock(session, "upkeep"):
        start = time.monotonic()
        note(f"nodetool {command} begins: {why}")
        persistently(*arguments)
        note(f"nodetool {command} done after {time.monotonic() - start:.1f} s")


def describe():
    """Statements that make the keyspaces of the ring's users again, with types, tables, indexes and views."""
    with here() as session:
        session.cluster.schema_metadata_enabled = True
        session.cluster.refresh_schema_metadata()
        for name, keyspace in sorted(session.cluster.metadata.keyspaces.items()):
            if not is_own(name):
                print(keyspace.export_as_string())


def cql(*statements):
    with here() as session:
        for statement in statements:
            # a counter, or what is put at a list's end, would be so twice
            for row in session.run(statement, once=statement.lstrip().upper().startswith("UPDATE")):
                print("\t".join(str(value) for value in row))


VERBS = {
    "settle": settle,
    "seen": seen,
    "predecessor": predecessor,
    "allocate": allocate,
    "gone": gone,
    "leave": leave,
    "schema": schema,
    "upkeep": upkeep,
    "locked": locked,
    "describe": describe,
    "cql": cql,
}

if __name__ == "__main__":
    os.umask(0o077)
    if len(sys.argv) < 2 or sys.argv[1] not in VERBS:
        sys.exit(__doc__)
    try:
        status = VERBS[sys.argv[1]](*sys.argv[2:])
    except Refused as error:
        sys.exit(str(error))
    except (NoHostAvailable, socket.error) as error:
        sys.exit(re.sub(r"\s+", " ", str(error))[:600])
    sys.exit(status if isinstance(status, int) and sys.argv[1] == "locked" else 0)
