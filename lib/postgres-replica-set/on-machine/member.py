"""What a member's hooks do. Runs as root.

  member.py render      writes the part of Patroni's configuration that only this machine knows
  member.py huge-pages  reserves as many as the server will want
  member.py check       are the new files right, and is this still the same member?
  member.py access      a running Patroni takes up who may come in
  member.py active      status 0 while this member leads, and the new files ask for a restart
  member.py activate    starts, reloads or restarts, the primary only after a switchover
  member.py certificate a new certificate, where the old one ends within a month
  member.py healthy     status 0 while it leads or follows, with the new files
  member.py leave       hands the lead over, and stops
  member.py switchover  hands the lead over
"""
import glob
import json
import os
import re
import shutil
import signal
import sys
import time

import certificates
import huge_pages
import pooler
import takeover
import yaml
from node import (
    DATA, ETC, FACTS, LIB, NAME, RUNNING, UNIT, Refused, another_leads, behind, dissolves, end_with, follows, is_active,
    is_alone, lacks_synchronous, leader_of, leads, listens, may_lead, member_password, members, note, other_addresses, own_state, rest, run,
    settings, sql, stands_by, streams, takes_writes, wait_until,
)  # fmt: skip
from render import check, fingerprint, parameters, read, render, tags
from switchover import restart_server, switch_over

# Where there is a volume, which may come from another machine.
ADOPT = "/usr/local/lib/cdktf-ha/adopt.sh"
# What this machine is, beside the data: a machine without data remembers nothing.
MARKER = os.path.join(os.path.dirname(DATA), "cdktf-ha-member")


def marker():
    try:
        with open(MARKER) as file:
            return json.load(file)
    except FileNotFoundError:
        return {}


def check_member():
    known = marker().get("scope", FACTS["scope"])
    if known != FACTS["scope"]:
        raise Refused(f"this machine holds a member of '{known}', which keeps its name for life; '{FACTS['scope']}' is another one")
    if "standby_cluster" in yaml.safe_load(read("50-member.yml"))["bootstrap"]["dcs"] and "standby_cluster" not in (settings() or {"standby_cluster": 0}):
        raise Refused("this set lives as a primary, and what it has would have to go: a new set, under another name and on other machines, can follow")
    if takeover.is_due():
        takeover.check()
    for version, cluster, data in package_clusters():
        if holds_data(data) and not (takeover.is_due() and takeover.is_meant(version, cluster)):
            raise Refused(
                f"PostgreSQL {version}/{cluster} on port 5432 holds databases or tables in {data}. Move it to another port or machine, or dump and drop it"
            )
    check()


def check_access():
    for path in glob.glob(os.path.join(os.path.dirname(os.path.dirname(DATA)), "*", os.path.basename(DATA), "PG_VERSION")):
        if os.path.dirname(path) != DATA:
            raise Refused(f"this member's data is of another major version, {os.path.dirname(path)}: a new set, on other machines, takes it by move-in")
    if certificates.TLS or certificates.ETCD:
        certificates.check()


FIRST_OF_USERS = 16384  # PostgreSQL numbers what initdb made below it


def holds_data(data):
    """Databases, tables in a database of initdb's own, or a place for tables elsewhere."""
    def theirs(directory):
        numbers = (re.match(r"\d+", name) for name in os.listdir(directory))
        return any(number and int(number.group()) >= FIRST_OF_USERS for number in numbers)

    base = os.path.join(data, "base")
    databases = [os.path.join(base, name) for name in os.listdir(base) if name.isdigit()]
    return any(theirs(directory) for directory in (base, os.path.join(data, "pg_tblspc"), *databases) if os.path.isdir(directory))


def package_clusters():
    """Clusters that Debian's packages made and start, where ours is to be. Those on other ports are nobody's business."""
    listed = run("pg_lsclusters", "--no-header", check=False).stdout.splitlines() if shutil.which("pg_lsclusters") else []
    rows = [line.split() for line in listed]
    found = [(row[0], row[1], row[5]) for row in rows if row[2] == "5432" and os.path.isdir(os.path.join(row[5], "base"))]
    return [(version, cluster, data) for version, cluster, data in found if not is_disabled(version, cluster)]


def is_disabled(version, cluster):
    try:
        with open(start_conf(version, cluster)) as file:
            return "disabled" in file.read().split("\n")
    except FileNotFoundError:
        return False


def start_conf(version, cluster):
    return f"/etc/postgresql/{version}/{cluster}/start.conf"


def retire_package_clusters():
    for version, cluster, _ in package_clusters():
        run("systemctl", "disable", "--quiet", "--now", f"postgresql@{version}-{cluster}.service", check=False)
        with open(start_conf(version, cluster), "w") as file:
            file.write("# cdktf-ha-clusters: Patroni's server has this port\ndisabled\n")
        note(f"PostgreSQL {version}/{cluster} of the package is switched off; it was empty")


def access():
    if not is_active() or not os.path.exists(os.path.join(ETC, "50-member.yml")):
        return
    run("systemctl", "reload", UNIT)  # writes the machine's own part anew as well
    wanted = yaml.safe_load(read("20-access.yml"))["postgresql"]

    def taken_up(name):
        try:
            with open(os.path.join(DATA, f"{name}.conf")) as file:
                lines = [line.strip() for line in file if line.strip() and not line.startswith("#")]
        except FileNotFoundError:
            return True  # not copied yet: it is written when the server starts
        return name not in wanted or lines == wanted[name]

    wait_until(lambda: taken_up("pg_hba") and taken_up("pg_ident"), 60, "Patroni does not take up who may come in")
    if own_state().get("state") == "running":
        if certificates.TLS:
            wait_until(certificates.is_served, 60, "PostgreSQL or Patroni does not show the member's certificate; its log says why")
        if not delayed():  # it hears of it late, and nobody copies from it
            wait_until(password_is_known, 90, "no member leads that would tell the others the members' new password", every=1)
    pooler.take_up()


def is_running():
    """Does a server have the data, whoever started it?"""
    try:
        with open(os.path.join(DATA, "postmaster.pid")) as file:
            os.kill(int(file.readline()), 0)
        return True
    except (OSError, ValueError):
        return False


def delayed():
    return tags().get("apply_delay")


def never_leads():
    return not may_lead({"tags": tags()})


def certificate():
    if certificates.issue():
        run("systemctl", "reload", UNIT)
        wait_until(certificates.is_served, 120, "PostgreSQL or Patroni does not show the member's new certificate; its log says why")
        pooler.take_up()


def password_is_known():
    """By a login with it, as another member does. All members ask at the same time, and the one that leads tells the new one."""
    login = "host=/var/run/postgresql dbname=postgres user=replicator replication=true connect_timeout=5"
    environment = {**os.environ, "PGPASSWORD": member_password()}
    if run("psql", "-XAtq", login, "--command", "IDENTIFY_SYSTEM", check=False, cwd="/", env=environment).returncode == 0:
        return True
    if takes_writes():
        run(
            "runuser", "--user", "postgres", "--", sys.executable, "-B", os.path.join(LIB, "schema.py"), "members",
            input=member_password(), cwd="/",
        )  # fmt: skip
        note("the members' password is a new one")
    return False


def active():
    """Only a restart, and what takes the lead away, is better left for last: all else may reach the primary in its turn."""
    if not leads():
        return False
    return os.environ.get("HA_DIR") is None or gives_up_the_lead() or needs_restart()


def gives_up_the_lead():
    staged = os.path.join(os.environ["HA_DIR"], "root", ETC.lstrip("/"), "50-member.yml")
    with open(staged) as file:
        return not may_lead(yaml.safe_load(file))


def needs_restart():
    """Do the new files change what a running server reads at its start only, or Patroni's own unit?"""
    staged = os.path.join(os.environ["HA_DIR"], "root")
    unit = "/etc/systemd/system/patroni.service"
    if different(os.path.join(staged, unit.lstrip("/")), unit):
        return True
    new = parameters_in(os.path.join(staged, ETC.lstrip("/"), "50-member.yml"))
    old = parameters_in(os.path.join(ETC, "50-member.yml"))
    changed = [name for name in {*new, *old} if new.get(name) != old.get(name)]
    if not changed:
        return False
    names = ", ".join("'" + name.replace("'", "''") + "'" for name in changed)
    found = sql(f"select 1 from pg_settings where context = 'postmaster' and name in ({names}) limit 1")
    return found != []  # a server that does not answer may need one


def parameters_in(path):
    with open(path) as file:
        settings = yaml.safe_load(file)["postgresql"]
    return {**settings["parameters"], "listen_addresses": settings["listen"]}


def different(one, other):
    with open(one) as a, open(other) as b:
        return a.read() != b.read()


def activate(action):
    due = takeover.is_due()
    prepare()
    if not is_active():
        start(due)
    elif action == "restart":
        restart_patroni()
    else:
        take_up()
    if not FACTS["hugePages"]:
        huge_pages.release()  # which nobody uses any more
    run("systemctl", "enable", "--quiet", UNIT)


def prepare():
    if takeover.is_due():
        takeover.take_over()
    retire_package_clusters()
    root = os.path.dirname(os.path.dirname(DATA))
    if os.path.exists(ADOPT):
        run("bash", ADOPT, root, DATA, "postgres")
    for path in (root, os.path.dirname(DATA)):
        os.makedirs(path, exist_ok=True)
        shutil.chown(path, "postgres", "postgres")
    render()


def remember(**more):
    with open(MARKER, "w") as file:
        json.dump({"scope": FACTS["scope"], "name": NAME, **more}, file)


def start(taken_over=False):
    had_data = os.path.exists(os.path.join(DATA, "PG_VERSION"))
    remember(waits=not taken_over and (had_data or never_leads()))
    run("systemctl", "reset-failed", UNIT, check=False)
    try:
        run("systemctl", "start", UNIT)
        await_server(FACTS["cloneWithin"])
    except Refused:
        if taken_over:
            run("systemctl", "stop", UNIT, check=False, timeout=900)
            os.remove(MARKER)
            takeover.give_back()
        raise


def waits_for_others():
    """
    After all were stopped (a destroy, and a deploy on the same machines) members come back one after the other. Nobody leads
    until the one is there that has every commit: who has data, and whose others say themselves that nothing runs there yet, waits.
    So does, in a set that begins, who may not lead it.
    """
    if not marker().get("waits") or not own_state() or leader_of(members()) is not None:
        return False
    return any(listens(address) is False for name, address in FACTS["members"].items() if name != NAME)


def times_restarted():
    """By systemd, since somebody last started it by hand."""
    return int(run("systemctl", "show", "--property=NRestarts", "--value", UNIT).stdout or 0)


BUSY = ("creating replica", "starting", "initializing new cluster", "running custom bootstrap script", "restarting", "stopping")


def is_recovering():
    """The first member of a set that begins from a backup replays the log, for as long as that is."""
    return os.path.exists(os.path.join(DATA, "recovery.signal"))


def last_fatal():
    """Why, where a server said it; that it only began to start is no reason."""
    words = run("journalctl", f"--unit={UNIT}", "--lines=500", "--output=cat", "--no-pager", check=False).stdout.splitlines()
    fatal = [line for line in words if re.search(r"\b(FATAL|ERROR)\b", line) and "the database system is" not in line]
    return f": {fatal[-1]}" if fatal else ""


def await_server(seconds):
    """Until the server answers and leads or follows. What goes on is waited for; what stands still is not."""
    until, idle, restarts = time.monotonic() + seconds, time.monotonic(), times_restarted()
    while True:
        state = own_state().get("state", "unknown")
        if state == "running" and (leads() or follows()):
            remember()
            return
        if waits_for_others():
            note("waits for the others, which are not started yet")
            return
        if state in BUSY or is_recovering():
            idle = time.monotonic()
        if times_restarted() - restarts > 2:
            run("systemctl", "stop", UNIT, check=False)
            raise Refused(f"Patroni ends by itself again and again{last_fatal()}")
        if time.monotonic() - idle > 120:
            raise Refused(f"the server is '{state}' for two minutes, and neither leads nor follows")
        if time.monotonic() > until:
            raise Refused(f"the server is '{state}' after {seconds} s, and neither leads nor follows")
        time.sleep(0.3)


def others_can_do_without():
    """A member is only restarted while somebody leads."""
    wait_until(lambda: leader_of(members()) is not None, 60, "nobody leads: no member is restarted now")


def restart_patroni():
    others_can_do_without()
    if leads() and not is_alone():
        switch_over()
    run("systemctl", "restart", UNIT)
    await_server(600)


def take_up():
    if never_leads() and leads():
        switch_over()  # before it says so itself: nobody else need have every commit by then
    run("systemctl", "reload", UNIT)
    wait_until(is_taken_up, 120, "Patroni does not take the new files up")
    if FACTS["hugePages"]:
        huge_pages.take_care(parameters())  # also for what all members share, whose restart comes later
    if not pending():
        return
    others_can_do_without()
    if leads() and not is_alone():
        switch_over()
        wait_until(is_taken_up, 60, "Patroni does not take the new files up")
        if not pending():
            return  # it has started anew as a replica, with the new values
    restart_server(leads(), "PostgreSQL does not start with the new parameters")
    await_server(600)
    note("restarted for parameters that are read at the start only")


def is_taken_up():
    return sql("select current_setting('cdktf_ha.configuration', true)") == [fingerprint()]


def pending():
    return sql("select name from pg_settings where pending_restart") or []


def healthy():
    if waits_for_others():
        return
    state = own_state()
    if state.get("state") != "running":
        raise Refused(f"the server is '{state.get('state', 'unknown')}'")
    if not is_taken_up():
        raise Refused("the server has not read the new files")
    if certificates.TLS and not certificates.is_served():
        raise Refused("PostgreSQL or Patroni does not show the member's certificate")
    if leads():
        if lacks_synchronous(members()):
            raise Refused("no other member has every commit yet")
        return
    check_following()
    if lacks_synchronous(members()):
        raise Refused("no member has every commit yet")


def check_following():
    wanted, used = parsed_delay(delayed()), sql("select setting from pg_settings where name = 'recovery_min_apply_delay'")
    if used != [str(wanted)]:
        raise Refused(f"this member applies what it has after {used} ms, not yet after {wanted}")
    if not follows():
        raise Refused("this member does not follow anybody")
    if stands_by():
        return
    if not tags().get("noloadbalance"):
        if rest("/replica?lag=16MB")[0] != 200:
            raise Refused("this member is more than 16 MB behind, or Patroni does not let it serve")
        return
    lag = behind()
    # what it has counts, not what it shows; and what a delayed one lacks while it waits is kept for it
    if (lag is None or lag > 16 << 20) and streams():
        raise Refused(f"this member lacks {'an unknown number of' if lag is None else lag} bytes of its primary's log, more than 16 MB")


def parsed_delay(text):
    number, unit = re.fullmatch(r"(\d+)(\w+)", text or "0ms").groups()
    return int(number) * {"ms": 1, "s": 1000, "min": 60_000, "h": 3_600_000, "d": 86_400_000}[unit]


REMEDY = (
    "Let the new members join first, and take this one out by a later apply; or bring the others back; "
    "or, if the whole set goes: sudo cdktf-ha dissolve here, and apply again"
)


def must_lead_elsewhere(others, seconds):
    problem = f"no other member leads, and the data may be nowhere else. {REMEDY}"
    if not others:
        raise Refused(problem)
    wait_until(lambda: another_leads(others), seconds, problem)


def leave():
    if dissolves():
        huge_pages.release()  # those in use go with the server
        note("the whole set goes: stopped, the data stays")
        return
    if is_active() and (leads() or stands_by()):
        if not any(member["name"] != NAME and member["state"] in RUNNING and may_lead(member) for member in members()):
            raise Refused(f"this member leads, and no other one runs that could. {REMEDY}")
        try:
            switch_over()
        except Refused as refused:  # one that is just gone is known for a moment as one that runs
            raise Refused(f"this member leads, and could not hand over: {refused}. {REMEDY}") from refused
    others, was_active = other_addresses(), is_active()
    if os.path.isdir(DATA):
        must_lead_elsewhere(others, 30)
    run("systemctl", "disable", "--quiet", "--now", UNIT, timeout=900)
    if os.path.isdir(DATA):
        try:
            # asked after the stop: of several that leave at once, one finds nobody, and stays
            must_lead_elsewhere(others, FACTS["loopWait"] + 60)
        except Refused:
            if was_active:
                run("systemctl", "enable", "--quiet", "--now", UNIT)
            raise
    if os.path.isdir(DATA):
        aside = f"{DATA}.left-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}"
        os.rename(DATA, aside)
        note(f"has left the set; what it had is in {aside}")
    if os.path.exists(MARKER):
        os.remove(MARKER)
    certificates.forget()
    huge_pages.release()
    machine = os.path.join(ETC, "10-machine.yml")  # holds the password
    if os.path.exists(machine):
        os.remove(machine)


def main(words):
    action = words[0] if words else ""
    if action == "render":
        render()
    elif action == "huge-pages":
        signal.signal(signal.SIGTERM, lambda *_: sys.exit("no time is left for huge pages"))
        if not is_running():  # left behind by a Patroni that was killed, it goes on with what it has
            huge_pages.take_care(parameters())
    elif action == "check":
        check_member()
    elif action == "access":
        access()
    elif action == "check-access":
        check_access()
    elif action == "certificate":
        certificate()
    elif action == "active":
        return 0 if active() else 1
    elif action == "activate":
        activate(words[1])
    elif action == "healthy":
        healthy()
    elif action == "leave":
        leave()
    elif action == "switchover":
        if not leads():
            raise Refused(f"{leader_of(members())} leads, not this member")
        switch_over()
    else:
        print(__doc__, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    end_with(main, sys.argv[1:])
