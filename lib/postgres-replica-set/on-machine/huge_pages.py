"""Huge pages for PostgreSQL's shared memory: as many as its own server says it needs, before it starts."""
import os
import shutil
import subprocess
import tempfile

from node import DATA, FACTS, Refused, note

KERNEL = "/proc/sys/vm"
# What of the machine's huge pages is ours; gone with a boot, as they are.
OURS = "/run/cdktf-ha-postgres-huge-pages"


def number(path):
    try:
        with open(path) as file:
            return int(file.read())
    except FileNotFoundError:
        return 0


def tell(name, value):
    with open(os.path.join(KERNEL, name), "w") as file:
        file.write(str(value))


def take_care(parameters):
    """A server starts without them too."""
    try:
        if parameters is None:
            release()
        else:
            reserve(parameters)
    except (Refused, OSError) as problem:
        note(f"no huge pages: {problem}")


def reserve(parameters):
    """What others have reserved stays theirs. PostgreSQL takes all that it needs, or none at all: a part of it would only be lost."""
    total, ours = number(os.path.join(KERNEL, "nr_hugepages")), number(OURS)
    wanted = needed(parameters)
    if wanted == ours and total >= ours:
        return
    others = max(0, total - ours)
    tell("nr_hugepages", others + wanted)
    if number(os.path.join(KERNEL, "nr_hugepages")) < others + wanted:
        tell("compact_memory", 1)  # the memory is there, but in pieces
        tell("nr_hugepages", others + wanted)
    got = number(os.path.join(KERNEL, "nr_hugepages")) - others
    if got < wanted:
        tell("nr_hugepages", others)
        note(f"no huge pages: {wanted} are needed, and {max(0, got)} could be had; right after a boot there are more")
        wanted = 0
    with open(OURS, "w") as file:
        file.write(str(wanted))


def release():
    ours = number(OURS)
    if ours:
        tell("nr_hugepages", max(0, number(os.path.join(KERNEL, "nr_hugepages")) - ours))
        os.remove(OURS)


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
        settings = os.path.join(data, "postgresql.conf")
        with open(settings, "w") as file:
            for name, value in {**parameters, "huge_pages": "off"}.items():
                text = str(value).replace("'", "''")
                file.write(f"{name} = '{text}'\n")
        for root, directories, files in os.walk(directory):
            for name in (*directories, *files):
                shutil.chown(os.path.join(root, name), "postgres", "postgres")
        pages = int(asked("postgres", "-D", data, "-C", "shared_memory_size_in_huge_pages").split()[-1])
        if pages < 0:
            raise Refused("this kernel has no huge pages: leave 'hugePages' out")
        return pages + pages // 50 + 8


def asked(program, *words):
    path = os.path.join(FACTS["binDirectory"], program)
    done = subprocess.run(
        ["runuser", "--user", "postgres", "--", path, *words], capture_output=True, text=True, check=False, cwd="/",
    )  # fmt: skip
    if done.returncode:
        raise Refused(f"{program}: {done.stderr.strip()}")
    return done.stdout
