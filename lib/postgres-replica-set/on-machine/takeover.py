"""A PostgreSQL that runs on this machine already becomes the set's first member, with what it holds. Debian's packages made and started it;
its data is renamed, so nothing is copied, and what its postgresql.conf said does not come along: parameters are the code's.
"""
import os
import subprocess
import sys

from node import DATA, FACTS, LIB, Refused, another_leads, member_password, note, other_addresses, run

VERSION, CLUSTER = str(FACTS.get("version", "")), FACTS.get("takeOver")
CONF = f"/etc/postgresql/{VERSION}/{CLUSTER}"


def is_due():
    return CLUSTER is not None and not os.path.exists(os.path.join(DATA, "PG_VERSION"))


def is_meant(version, cluster):
    return (version, cluster) == (VERSION, CLUSTER)


def found():
    """Port, status, owner and data of the cluster."""
    rows = [line.split() for line in run("pg_lsclusters", "--no-header").stdout.splitlines()]
    for row in rows:
        if row[:2] == [VERSION, CLUSTER]:
            return row[2:6]
    there = ", ".join(f"{row[0]}/{row[1]}" for row in rows) or "none"
    raise Refused(f"there is no PostgreSQL {VERSION}/{CLUSTER} to take over on this machine; there is: {there}")


def as_postgres(port, *command, **more):
    return run("runuser", "--user", "postgres", "--", *command, cwd="/", env={**os.environ, "PGPORT": port, "PGCONNECT_TIMEOUT": "5"}, **more)


def ask(port, statement):
    return as_postgres(port, "psql", "-XAtq", "--host", "/var/run/postgresql", "--dbname", "postgres", "--command", statement).stdout.strip()


def is_handed_over():
    try:
        with open(f"{CONF}/start.conf") as file:
            return "disabled" in file.read().split("\n")
    except FileNotFoundError:
        return False


def check():
    """Before anything is touched."""
    port, status, owner, data = found()
    if another_leads(other_addresses()):
        raise Refused(f"the set lives already, on other machines: what PostgreSQL {VERSION}/{CLUSTER} has would have to go. Take 'takeOver' out, or name the set otherwise")
    if owner != "postgres":
        raise Refused(f"{data} belongs to '{owner}'; the set's programs are those of the user postgres")
    os.makedirs(os.path.dirname(DATA), exist_ok=True)
    if os.stat(data).st_dev != os.stat(os.path.dirname(DATA)).st_dev:
        raise Refused(f"{data} is on another file system than {DATA}: data is renamed, not copied. Mount that one at /var/lib/postgresql")
    if os.path.ismount(data) or os.path.islink(data):
        raise Refused(f"{data} is a mount or a link of its own, which cannot be renamed: mount its file system at /var/lib/postgresql")
    if is_handed_over():
        return  # an apply was cut short in between
    if status != "online":
        raise Refused(f"PostgreSQL {VERSION}/{CLUSTER} is '{status}': it has to run, to be told the members' roles. pg_ctlcluster {VERSION} {CLUSTER} start")
    if ask(port, "select pg_is_in_recovery()") != "f":
        raise Refused(f"PostgreSQL {VERSION}/{CLUSTER} follows another server: take that one over, or promote this one first")
    if ask(port, "select count(*) from pg_tablespace where spcname not like 'pg\\_%'") != "0":
        raise Refused(f"PostgreSQL {VERSION}/{CLUSTER} has tablespaces of its own, at paths that other members do not have: move its tables to pg_default first")


def auto(data):
    return os.path.join(data, "postgresql.auto.conf")


def take_over():
    """Each step may be the last one before a power cut: the next apply goes on there."""
    port, _, _, data = found()
    if not is_handed_over():
        checksums = ask(port, "show data_checksums")
        as_postgres(port, sys.executable, "-B", os.path.join(LIB, "schema.py"), "make-members", input=member_password())
        run("systemctl", "disable", "--quiet", "--now", f"postgresql@{VERSION}-{CLUSTER}.service", timeout=900)
        write(f"{CONF}/start.conf", "# cdktf-ha-clusters: a replica set has taken this one over\ndisabled\n")
        if checksums == "off":
            note("what is taken over has no checksums of its pages, and each member will be a copy of it: see pg_checksums")
    if os.path.exists(auto(data)):  # Debian has the other one in /etc
        os.rename(auto(data), f"{auto(data)}.before")
    write(os.path.join(data, "postgresql.conf"), f"# Parameters are in /etc/patroni/cdktf-ha; what they were before the set is in {CONF} and *.before.\n", "postgres")
    os.rename(data, DATA)
    note(f"PostgreSQL {VERSION}/{CLUSTER} is taken over: {data} is {DATA} now")


def write(path, text, owner=None):
    with open(path, "w") as file:
        file.write(text)
    if owner:
        subprocess.run(["chown", f"{owner}:{owner}", path], check=True)
        os.chmod(path, 0o600)


def give_back():
    """It did not become a member: its clients come first."""
    _, _, _, data = found()
    if os.path.exists(f"{auto(DATA)}.before"):
        os.replace(f"{auto(DATA)}.before", auto(DATA))
    os.rename(DATA, data)
    write(f"{CONF}/start.conf", "auto\n")
    run("systemctl", "enable", "--quiet", "--now", f"postgresql@{VERSION}-{CLUSTER}.service", timeout=300)
    note(f"PostgreSQL {VERSION}/{CLUSTER} has its data back, and runs as before")
