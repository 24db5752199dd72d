"""Huge pages for PostgreSQL's shared memory: as many as its own server says it needs, before it starts."""
import json
import os
import shutil
import tempfile

from node import DATA, FACTS, Refused, note, postgresql_conf, run

KERNEL = "/proc/sys/vm"
# How many of the machine's huge pages are ours, and how many are not; gone with a boot, as they are.
STATE = "/run/cdktf-ha-postgres-huge-pages"


def total():
    with open(os.path.join(KERNEL, "nr_hugepages")) as file:
        return int(file.read())


def tell(name, value):
    with open(os.path.join(KERNEL, name), "w") as file:
        file.write(str(value))


def state():
    """Whoever was killed in between has written down before what is not ours."""
    try:
        with open(STATE) as file:
            ours, others = json.load(file)
    except (OSError, ValueError):
        ours, others = 0, total()
    # somebody else has taken more meanwhile, or has given some back
    return ours, total() - ours if total() > ours + others else min(others, total())


def remember(ours, others):
    with open(f"{STATE}.new", "w") as file:
        json.dump([ours, others], file)
    os.replace(f"{STATE}.new", STATE)


def take_care(parameters):
    """A server runs without them too."""
    try:
        reserve(parameters)
    except (Refused, OSError, ValueError) as problem:
        note(f"no huge pages: {problem}")


def reserve(parameters):
    """What others have reserved stays theirs. PostgreSQL takes all that it needs, or none at all: a part of it would only be lost."""
    ours, others = state()
    wanted = needed(parameters)
    if total() == others + wanted:
        remember(wanted, others)
        return
    remember(max(ours, wanted), others)
    try:
        tell("nr_hugepages", others + wanted)
        if total() < others + wanted:
            tell("compact_memory", 1)  # the memory is there, but in pieces
            tell("nr_hugepages", others + wanted)
    finally:
        got = total() - others
        if got < wanted:  # or no time was left for more
            tell("nr_hugepages", others)
        remember(wanted if got >= wanted else 0, others)
    if got < wanted:
        note(f"no huge pages: {wanted} are needed, and {max(0, got)} could be had; right after a boot there are more")


def release():
    if os.path.exists(STATE):
        _, others = state()
        tell("nr_hugepages", others)
        os.remove(STATE)


def needed(parameters):
    """By PostgreSQL itself, of this version and with these parameters; a few more for what Patroni adds."""
    with tempfile.TemporaryDirectory(prefix="cdktf-ha-postgres-") as directory:
        shutil.chown(directory, "postgres", "postgres")
        data = os.path.join(directory, "data")
        control = os.path.join(DATA, "global", "pg_control")
        if os.path.exists(control):
            for path in (data, os.path.join(data, "global")):
                os.mkdir(path, 0o700)
            shutil.copy(control, os.path.join(data, "global"))
            shutil.copy(os.path.join(DATA, "PG_VERSION"), data)
        else:
            asked("initdb", "--pgdata", data, "--no-sync", "--auth", "peer")
        with open(os.path.join(data, "postgresql.conf"), "w") as file:
            file.write(postgresql_conf({**parameters, "huge_pages": "off"}))
        for root, directories, files in os.walk(directory):
            for name in (*directories, *files):
                shutil.chown(os.path.join(root, name), "postgres", "postgres")
        pages = int(asked("postgres", "-D", data, "-C", "shared_memory_size_in_huge_pages").split()[-1])
        if pages < 0:
            raise Refused("this kernel has no huge pages: leave 'hugePages' out")
        return pages + pages // 50 + 8


def asked(program, *words):
    path = os.path.join(FACTS["binDirectory"], program)
    return run("runuser", "--user", "postgres", "--", path, *words, cwd="/").stdout
