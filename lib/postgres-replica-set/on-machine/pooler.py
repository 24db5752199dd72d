"""The pooler of a member: PgBouncer, which leads to the member that leads. Runs as root.

  pooler show WORD...  of PgBouncer's console: pools, clients, servers, databases, stats

Of the library and systemd: pooler render|follow|healthy|leave
"""
import concurrent.futures
import contextlib
import hashlib
import hmac
import json
import os
import shutil
import sys
import threading
import time

from node import ADDRESS, FACTS, TLS, Refused, end_with, member_password, note, rest, run, wait_until

POOLER = "/etc/pgbouncer/cdktf-ha"
SOCKETS = "/run/pgbouncer"
PORT = 6432
UNIT = "pgbouncer.service"
FOLLOWER = "pgbouncer-follow.service"
# of the console: whoever pauses keeps a connection as this one, and who looks after the pooler comes as that one
PAUSES, FOLLOWS = "cdktf_ha_switch", "cdktf_ha_follow"
PAUSE_WITHIN = 10
PAUSED_AT_MOST = 30


def console_password():
    """Every member knows it, and it gives nobody a member's own password."""
    return hmac.new(member_password().encode(), b"console of the pooler", hashlib.sha256).hexdigest()


class Console:
    """PgBouncer's console, of this member by its socket or of another one by its address."""

    def __init__(self, host, user):
        import psycopg2

        more = {}
        if TLS and host != SOCKETS:
            # unasked, nobody shows a certificate: PgBouncer refuses one that it was given no authority for
            shown = TLS["certificate"] if FACTS["pooler"]["certificates"] else "/nonexistent"
            more = {"sslmode": "verify-ca", "sslrootcert": TLS["trusted"], "sslcert": shown, "sslkey": shown}
        self.connection = psycopg2.connect(
            host=host, port=PORT, dbname="pgbouncer", user=user, password=console_password(), connect_timeout=3,
            keepalives_idle=5, keepalives_interval=1, keepalives_count=3, **more,
        )  # fmt: skip
        self.connection.autocommit = True

    def ask(self, statement):
        """Rows by the names of their columns."""
        with self.connection.cursor() as cursor:
            cursor.execute(statement)
            if not cursor.description:
                return []
            names = [column.name for column in cursor.description]
            return [dict(zip(names, row)) for row in cursor.fetchall()]

    def resume(self):
        """Was it paused?"""
        import psycopg2

        try:
            self.ask("RESUME")
        except psycopg2.DatabaseError as error:
            if "not paused" in str(error):
                return False
            raise
        return True

    def targets(self):
        return {row["host"] for row in self.ask("SHOW DATABASES") if row["name"] != "pgbouncer"}

    def close(self):
        self.connection.close()


# --- where to ---


def leads_at(address):
    return rest("/primary", address=address, seconds=2)[0] == 200


def find_leader(known=None):
    """Address of the one that leads, by whoever answers first; nothing where nobody does."""
    if known and leads_at(known):
        return known
    addresses = sorted({*FACTS["members"].values()} - {known})
    pool = concurrent.futures.ThreadPoolExecutor(max(1, len(addresses)))
    try:
        asked = {pool.submit(leads_at, address): address for address in addresses}
        return next((asked[done] for done in concurrent.futures.as_completed(asked) if done.result()), None)
    finally:
        pool.shutdown(wait=False)


def written_target():
    with contextlib.suppress(FileNotFoundError):
        with open(os.path.join(POOLER, "leader")) as file:
            return file.read().strip()
    return None


def model():
    with open(os.path.join(POOLER, "pooler.json")) as file:
        return json.load(file)


def write(name, text):
    path = os.path.join(POOLER, name)
    with open(os.open(f"{path}.new", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(text)
    shutil.chown(f"{path}.new", "root", "pgbouncer")
    os.chmod(f"{path}.new", 0o640)
    os.replace(f"{path}.new", path)


def write_target(address):
    lines = [f"{name} = host={address} port=5432 dbname={name}" for name in model()["databases"]]
    write("databases.ini", "\n".join(["; Managed by cdktf-ha-clusters, made on this machine.", "[databases]", *lines, ""]))
    write("leader", f"{address}\n")


def quoted(text):
    if "\n" in text:
        raise Refused("a password with a line break: PgBouncer's list of users has no way to write it")
    return '"' + text.replace('"', '""') + '"'


def render():
    users = {}
    for role in model()["roles"]:
        with open(os.path.join(POOLER, f"password-{role}")) as file:
            users[role] = file.read()
    for name in (PAUSES, FOLLOWS):
        users[name] = console_password()
    write("userlist.txt", "".join(f"{quoted(name)} {quoted(password)}\n" for name, password in users.items()))
    for name, source in (("member.pem", "certificate"), ("trusted.pem", "trusted")):
        if TLS:
            with open(TLS[source]) as file:
                write(name, file.read())
    known = written_target()
    # nobody leads yet: the first look of the follower tells
    write_target(known or find_leader() or ADDRESS)


class Guard:
    """
    Whoever pauses a pooler keeps its connection to the console for as long. Who has died has none: then the pooler goes on at once, and in
    any case after half a minute.
    """

    def __init__(self):
        self.since, self.tried = None, -1e9

    def is_over(self, held, waits, now):
        """Is a pause to end, if there is one? `waits`: somebody is kept waiting, and nobody may be known to have paused."""
        if held:
            self.since = now if self.since is None else self.since
            return now - self.since > PAUSED_AT_MOST and self.is_time(now)
        was, self.since = self.since is not None, None
        return was or (waits and self.is_time(now))

    def is_time(self, now):
        """Where nobody has paused, clients wait for other reasons: asked for now and then."""
        if now - self.tried < 5:
            return False
        self.tried = now
        return True


def look(console):
    """Is the pooler being paused by somebody, and does a client wait for seconds?"""
    pools = console.ask("SHOW POOLS")
    waits = any(row["maxwait"] >= 2 for row in pools)
    guests = sum(row["cl_active"] for row in pools if row["database"] == "pgbouncer") > 1
    held = guests and any(row["user"] == PAUSES for row in console.ask("SHOW CLIENTS"))
    return held, waits


def follow():
    import psycopg2

    console, guard, known = None, Guard(), None
    while True:
        held = False
        try:
            if console is None:
                console, known = Console(SOCKETS, FOLLOWS), None
            held, waits = look(console)
            if guard.is_over(held, waits, time.monotonic()) and console.resume():
                note("the pooler goes on: whoever paused it has died, or took too long")
            leader = find_leader(known or written_target())
            if leader and leader != known:
                if leader != written_target():
                    write_target(leader)
                    note(f"the pooler leads to {leader}")
                console.ask("RELOAD")
                known = leader
        except (psycopg2.Error, Refused, OSError) as error:
            print(f"{type(error).__name__}: {str(error).strip()}", file=sys.stderr, flush=True)
            console = None
        time.sleep(0.2 if held else 1)


# --- over a planned change ---


@contextlib.contextmanager
def paused():
    """
    Clients of all poolers wait between two transactions while the primary moves or restarts, and find the one that leads afterwards. A transaction
    that does not end within ten seconds is cut, as it would be anyway. Nobody waits longer than half a minute: see Guard.
    """
    if not FACTS.get("pooler", {}).get("pauses"):
        yield
        return
    consoles = {}
    for name, address in FACTS["members"].items():
        try:
            consoles[name] = (address, Console(address, PAUSES))
        except Exception as error:  # psycopg2's own, and the system's
            note(f"the pooler of {name} is not paused: {str(error).strip()}")
    late, started = {}, time.monotonic()
    try:
        late = pause(consoles)
        yield
        await_followers([console for name, (_, console) in consoles.items() if name not in late])
    finally:
        for name, (address, console) in consoles.items():
            try:
                # one that is still being paused listens to nobody
                (Console(address, PAUSES) if name in late else console).resume()
            except Exception as error:
                note(f"the pooler of {name} goes on by itself: {str(error).strip()}")
        for _, console in consoles.values():
            with contextlib.suppress(Exception):
                console.close()
        if consoles:
            note(f"the poolers of {', '.join(consoles)} were paused for {time.monotonic() - started:.1f} s")


def pause(consoles):
    """All of them, and not database by database: new clients would be refused then, since PgBouncer 1.18 goes on making connections."""
    problems = {}

    def one(name, console):
        try:
            # a login that is under way would be cut, and PgBouncer would take the server for dead
            for _ in range(50):
                if not any(row["sv_login"] for row in console.ask("SHOW POOLS")):
                    break
                time.sleep(0.02)
            console.ask("PAUSE")
        except Exception as error:
            problems[name] = error

    threads = {
        name: threading.Thread(target=one, args=(name, console), daemon=True) for name, (_, console) in consoles.items()
    }
    for thread in threads.values():
        thread.start()
    until = time.monotonic() + PAUSE_WITHIN
    for thread in threads.values():
        thread.join(max(0, until - time.monotonic()))
    late = {name for name, thread in threads.items() if thread.is_alive()}
    if late:
        note(f"transactions by way of {', '.join(sorted(late))} are longer than {PAUSE_WITHIN} s: they are cut")
    for name, error in problems.items():
        note(f"the pooler of {name} is not paused: {str(error).strip()}")
    return late


def await_followers(consoles):
    def all_there():
        leader = find_leader()
        return leader is not None and all(console.targets() == {leader} for console in consoles)

    try:
        wait_until(all_there, 20, "not every pooler has found the one that leads", every=0.1)
    except Refused as refused:
        note(str(refused))


def take_up():
    """New facts, a new password of the members, a new certificate."""
    # one that is none of ours is nobody's business
    if "pooler" not in FACTS or run("systemctl", "is-active", "--quiet", UNIT, check=False).returncode:
        return
    run("systemctl", "reload", UNIT)
    run("systemctl", "try-restart", FOLLOWER)


# --- of the push ---


def healthy():
    console = connected()
    shown = {row["key"]: row["value"] for row in console.ask("SHOW CONFIG")}
    with open(os.path.join(POOLER, "pgbouncer.ini")) as file:
        wanted = dict(line.strip().split(" = ", 1) for line in file if " = " in line and not line.startswith(";"))
    other = [f"{key} is {shown.get(key)}" for key, value in wanted.items() if shown.get(key) != value]
    if other:
        raise Refused(f"PgBouncer has not taken up the new files: {', '.join(other)}")
    leader = find_leader(written_target())
    if console.targets() != {leader}:
        raise Refused(f"PgBouncer leads to {', '.join(map(str, console.targets()))}, and {leader or 'nobody'} leads")


def connected():
    import psycopg2

    try:
        return Console(SOCKETS, FOLLOWS)
    except psycopg2.Error as error:
        raise Refused(f"PgBouncer does not answer: {str(error).strip()}") from None


def leave():
    for unit in (FOLLOWER, UNIT):
        run("systemctl", "disable", "--quiet", "--now", unit, check=False)
    for name in ("userlist.txt", "member.pem", "trusted.pem", "databases.ini", "leader"):
        with contextlib.suppress(FileNotFoundError):
            os.remove(os.path.join(POOLER, name))


def show(words):
    rows = connected().ask(f"SHOW {' '.join(words)}")
    for row in rows:
        print("  ".join(f"{name}={value}" for name, value in row.items() if value not in (None, "")))


def main(words):
    actions = {"render": render, "follow": follow, "healthy": healthy, "leave": leave}
    if words[:1] == ["show"] and len(words) > 1:
        show(words[1:])
    elif len(words) == 1 and words[0] in actions:
        actions[words[0]]()
    else:
        print(__doc__, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    end_with(main, sys.argv[1:])
