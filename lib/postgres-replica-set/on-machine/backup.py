"""Backups of the set by pgBackRest. Runs as root.

  backup list                     what is there, and how far back it goes
  backup run full|diff|incr       now; does nothing on a member that does not lead
  backup test                     restores the newest one beside a replica's data, reads it, removes it
  backup restore TIME DIRECTORY   the set as it was then (or: latest), beside this member's own data, to be read and dumped:
                                  nothing of the running set is touched. TIME is YYYY-MM-DD HH:MM:SS+00
  backup drop DIRECTORY           removes what 'restore' made

Of the library: backup check|prepare|verify, check-recovery; and by Patroni, as postgres: recover SET TIME, recovered
"""
import json
import os
import re
import shutil
import sys
import time

from node import (
    DATA, FACTS, NAME, Refused, another_leads, end_with, leader_of, leads, members, note, other_addresses, run, sql, wait_until,
)  # fmt: skip

STANZA = FACTS["scope"]
CONF = "/etc/pgbackrest/pgbackrest.conf"
RECOVERY = "/etc/pgbackrest/recovery.conf"
TEST = f"{DATA}-restore-test"
TESTED = "postgres-restored-for-test"  # the unit of its server
MADE_HERE = "cdktf-ha-restored"


def postgres(*command, check=True, **more):
    return run("runuser", "--user", "postgres", "--", *command, check=check, cwd="/", **more)


def pgbackrest(*words, **more):
    return postgres("pgbackrest", f"--stanza={STANZA}", "--log-level-console=warn", *words, **more)


def info():
    """What the repository has of this set. pgBackRest's status is in its answer, not in its exit status."""
    return json.loads(pgbackrest("--output=json", "info").stdout)[0]


def stanza_of(conf):
    with open(conf) as file:
        return re.findall(r"^\[(.+)\]$", file.read(), re.M)[-1]


def check_recovery():
    """Only while there is no data: later the repository may be gone."""
    if os.path.exists(os.path.join(DATA, "PG_VERSION")):
        return
    if another_leads(other_addresses()):
        return  # a new member copies the one that leads
    if os.path.exists(CONF) and info().get("backup"):
        raise Refused(
            f"'{STANZA}' has backups of its own, and no data and no member that leads: 'recovery' would begin it again from the past. "
            "Let a new set, under another name, begin from those"
        )
    stanza = stanza_of(RECOVERY)
    words = ["pgbackrest", f"--config={RECOVERY}", f"--stanza={stanza}", "--log-level-console=warn", "--output=json", "info"]
    found = json.loads(postgres(*words).stdout)[0]
    if found["status"]["code"] or not found["backup"]:
        raise Refused(f"there is no backup of '{stanza}' to begin from: {gist(found['status']['message'])}")


def recover(stanza, when):
    """Patroni's way to the first member's data, as postgres."""
    target = [] if when == "latest" else ["--type=time", f"--target={when}", "--target-action=promote"]
    done = run("pgbackrest", f"--config={RECOVERY}", f"--stanza={stanza}", "--log-level-console=warn", *target, "restore", check=False)
    if done.returncode:
        raise Refused((done.stdout + done.stderr).strip())


def recovered(*_):
    """What pgBackRest told the server of its target is of the past: a member that follows would stop there."""
    for name in ("restore_command", "recovery_target_time", "recovery_target_action"):
        run("psql", "-XAtq", "--dbname", "postgres", "--command", f"alter system reset {name}", cwd="/")
    # it has its original's number in pgBackRest's eyes: see make_stanza
    run("psql", "-XAtq", "--dbname", "postgres", "--command", "alter role postgres set cdktf_ha.begun_from_backup = 'yes'", cwd="/")


# pgBackRest's own numbers
NO_STANZA, NO_BACKUP = (1, 3), 2


def check():
    """With the new files in view, before anything uses them."""
    settings = repository_settings()
    if "repo1-host" in settings:
        from repository_host import check_host  # it is there where the repository is such a one

        check_host(settings)
    elif settings["repo1-type"] == "posix":
        check_directory(settings["repo1-path"])
    # AWS knows a right of a new role after some seconds
    until = time.monotonic() + (120 if settings.get("repo1-s3-key-type") == "auto" else 0)
    while True:
        wrong = next((status for status in statuses() if status["code"] not in (0, NO_BACKUP, *NO_STANZA)), None)
        if wrong is None:
            return
        if "AccessDenied" not in wrong["message"] or time.monotonic() > until:
            raise Refused(f"the repository cannot be used: {gist(wrong['message'])}")
        time.sleep(5)


def repository_settings():
    with open(CONF) as file:
        return dict(line.rstrip("\n").split("=", 1) for line in file if "=" in line)


def gist(words):
    """Of pgBackRest's words the first line, and what a store answered to the request that it shows whole."""
    answers = re.findall(r"<(?:Code|Message)>([^<]*)<", words)
    return " ".join([words.strip().splitlines()[0], *answers])


def statuses():
    return [repo["status"] for repo in info()["repo"]]


def check_directory(path):
    if not os.path.isdir(path):
        raise Refused(f"{path} is no directory on this machine: mount it, or make it, first")
    if postgres("test", "-w", path, check=False).returncode:
        raise Refused(f"the user postgres may not write in {path}")


def knows_stanza():
    return all(status["code"] in (0, NO_BACKUP) for status in statuses())


def prepare():
    """After a member's own part is there. All members do it at the same time: the one that leads makes the stanza, the others look for it."""
    def is_there():
        if leads():
            make_stanza()
            return True
        return knows_stanza()

    wait_until(
        is_there, 240,
        "the set has no place in the repository, as this member sees it: does every member see the same directory, and does one lead?", every=2,
    )  # fmt: skip


def make_stanza():
    """Does nothing where it is there already; refuses where another cluster's is, or another life's of this one."""
    begun = sql("select current_setting('cdktf_ha.begun_from_backup', true)") == ["yes"]
    if begun and knows_stanza():
        raise Refused(
            f"the repository holds backups of another set called '{STANZA}', which began from the same one: the two would take each other's "
            "for their own. Choose another name or prefix"
        )
    for _ in range(60):
        done = pgbackrest("stanza-create", check=False)
        if done.returncode == 0:
            if begun:
                sql("alter role postgres reset cdktf_ha.begun_from_backup")
            return
        # segments that wait for the stanza hold it
        if "unable to acquire lock" not in done.stdout + done.stderr:
            break
        time.sleep(1)
    words = (done.stdout + done.stderr).strip()
    if "do not match the database" in words:
        words = f"the repository holds backups of another set called '{STANZA}': choose another prefix, or restore that one. {words}"
    raise Refused(words)


def verify():
    """After PostgreSQL archives: one segment makes its way, and there is a backup to begin with."""
    if not leads():
        return
    done = pgbackrest("check", check=False)
    if done.returncode:
        raise Refused(f"the log does not get to the repository: {(done.stdout + done.stderr).strip()}")
    if not info().get("backup"):
        note("the first full backup begins: journalctl --unit postgres-backup-full shows how it goes")
        run("systemctl", "start", "--no-block", "postgres-backup-full.service")


def back_up(kind):
    if kind not in ("full", "diff", "incr"):
        raise Refused(f"'{kind}' is no kind of backup: full, diff or incr")
    if not leads():
        leader = leader_of(members())
        if leader in (None, NAME):
            raise Refused("it is not known who leads: no backup was made")
        note(f"{leader} leads: no backup from here")
        return
    started = time.monotonic()
    # until the first checkpoint after a promotion the server's control file names the timeline before, and pgBackRest refuses
    wait_until(lambda: sql("select pg_is_in_recovery()") == ["f"], 60, "this member is to lead, and is no primary yet")
    sql("checkpoint")
    settings = repository_settings()
    if "repo1-host" in settings:
        from repository_host import back_up_at_host

        back_up_at_host(settings, STANZA, kind)
    else:
        pgbackrest(f"--type={kind}", "backup")
    newest = info()["backup"][-1]
    note(
        f"{newest['type']} backup {newest['label']} is stored: {newest['info']['size'] >> 20} MiB of data, "
        f"{newest['info']['repository']['delta'] >> 20} MiB new in the repository, {time.monotonic() - started:.0f} s"
    )


def show():
    found = info()
    if found["status"]["code"]:
        print(f"{STANZA}: {found['status']['message']}")
    for backup in found.get("backup", []):
        when = time.strftime("%Y-%m-%d %H:%M:%S+00", time.gmtime(backup["timestamp"]["stop"]))
        print(f"{when}  {backup['type']:5} {backup['label']}  {backup['info']['size'] >> 20} MiB")
    for archive in found.get("archive", []):
        print(f"log from {archive['min']} to {archive['max']}")


def test():
    """On the first replica by name; on the leader where there is none."""
    found = members()
    running = sorted(m["name"] for m in found if m["state"] in ("running", "streaming"))
    leader = leader_of(found)
    chosen = next((name for name in running if name != leader), leader)
    if chosen is None:
        raise Refused("it is not known who is there to do it")
    if chosen != NAME:
        print(f"{chosen} does it")
        return
    newest = (info().get("backup") or [None])[-1]
    if newest is None:
        raise Refused("there is no backup to restore")
    started = time.monotonic()
    remove(TEST, TESTED)
    try:
        restore("latest", TEST, TESTED)
        databases = ask(TEST, "select datname from pg_database where datallowconn order by 1")
        for database in databases:
            # every table is found, and read by its definition
            postgres("pg_dump", "--host", socket_directory(TEST), "--schema-only", "--file", "/dev/null", database)
        last = ask(TEST, "select coalesce(pg_last_xact_replay_timestamp()::text, 'the backup itself')")[0]
        run("systemctl", "stop", f"{TESTED}.service")
        # every page of every table
        postgres(os.path.join(FACTS["binDirectory"], "pg_checksums"), "--check", "--pgdata", TEST)
        note(
            f"restore test: backup {newest['label']} and the log after it, up to {last}: {len(databases)} databases, "
            f"all pages whole, {time.monotonic() - started:.0f} s"
        )
    finally:
        remove(TEST, TESTED)


def restore_aside(when, directory):
    directory = checked(directory)
    if os.path.exists(directory) and os.listdir(directory):
        raise Refused(f"{directory} is not empty: backup drop {directory}, or choose another one")
    if run("systemctl", "is-active", "--quiet", unit_of(directory), check=False).returncode == 0:
        raise Refused(f"a copy called {os.path.basename(directory)} is there already: backup drop it, or choose another name")
    try:
        restore(when, directory, unit_of(directory))
    except Refused:
        remove(directory, unit_of(directory))
        raise
    with open(os.path.join(directory, MADE_HERE), "w"):
        pass
    place = socket_directory(directory)
    last = ask(directory, "select coalesce(pg_last_xact_replay_timestamp()::text, 'the backup itself')")[0]
    note(f"restored beside the set, in {directory}: everything up to {last}")
    print(
        f"""read it:       sudo -u postgres psql --host {place} DATABASE
take a table:  sudo -u postgres pg_dump --host {place} --table TABLE DATABASE | psql ... (the set's primary)
remove it:     {sys.argv[0].removesuffix('.py')} drop {directory}"""
    )


def checked(directory):
    real = os.path.realpath(directory)
    if not os.path.isabs(directory) or real == "/" or real == os.path.realpath(DATA) or real.startswith(f"{os.path.realpath(DATA)}/"):
        raise Refused(f"'{directory}': an absolute path that is not the set's own data")
    if not re.fullmatch(r"[A-Za-z0-9_-]{1,60}", os.path.basename(real)):
        raise Refused(f"'{directory}': its last part may have letters, digits, dash and underscore")
    return real


def unit_of(directory):
    return f"postgres-restored-{os.path.basename(directory)}"


def socket_directory(directory):
    return f"/run/cdktf-ha-restored-{os.path.basename(os.path.normpath(directory))}"


def ask(directory, statement):
    return postgres(
        "psql", "-XAtq", "--host", socket_directory(directory), "--dbname", "postgres", "--command", statement, timeout=60
    ).stdout.splitlines()


def restore(when, directory, unit):
    """A server of its own from the repository, which nobody reaches but by its socket, and which archives nothing."""
    if when != "latest" and not re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(\.\d{1,3})?[+-]\d\d(:?\d\d)?", when):
        raise Refused(f"'{when}': YYYY-MM-DD HH:MM:SS+00, with its zone, or latest")
    check_room(directory)
    place = socket_directory(directory)
    for path in (directory, place):
        os.makedirs(path, exist_ok=True)
        shutil.chown(path, "postgres", "postgres")
        os.chmod(path, 0o700)
    target = [] if when == "latest" else ["--type=time", f"--target={when}", "--target-action=promote"]
    pgbackrest(f"--pg1-path={directory}", "--archive-mode=off", *target, "restore")
    hba, ident = os.path.join(place, "pg_hba.conf"), os.path.join(place, "pg_ident.conf")
    for path, text in ((hba, "local all postgres peer\n"), (ident, "")):
        with open(path, "w") as file:
            file.write(text)
        shutil.chown(path, "postgres", "postgres")
    settings = {
        "listen_addresses": "", "unix_socket_directories": place, "port": 5432, "hba_file": hba, "ident_file": ident, "ssl": "off",
        "archive_mode": "off", "shared_buffers": "64MB", "synchronous_standby_names": "", "cluster_name": "restored", "logging_collector": "off",
        "primary_conninfo": "", "primary_slot_name": "",
        # a standby that answers meanwhile would wait for ever where the set was given more connections on the way
        "hot_standby": "off",
        # the set's own subscriptions go on where they are
        "max_logical_replication_workers": 0,
    }  # fmt: skip
    words = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
    started = run(
        "systemd-run", "--quiet", "--collect", f"--unit={unit}", "--uid=postgres", "--gid=postgres", "--service-type=notify",
        "--property=TimeoutStartSec=infinity", "--property=KillSignal=SIGINT", "--property=Nice=10", "--",
        os.path.join(FACTS["binDirectory"], "postgres"), "-D", directory, *words, check=False,
    )  # fmt: skip
    if started.returncode:
        raise Refused(f"the restored server does not start: {last_words(unit) or started.stderr}")

    def is_whole():
        if run("systemctl", "is-active", "--quiet", unit, check=False).returncode:
            raise Refused(f"the restored server has stopped: {last_words(unit)}")
        return postgres(
            "psql", "-XAtq", "--host", place, "--dbname", "postgres", "--command", "select pg_is_in_recovery()", check=False
        ).stdout.strip() == "f"  # fmt: skip

    wait_until(is_whole, 86_400, "the log is not replayed after a day", every=1)


def last_words(unit):
    lines = run("journalctl", f"--unit={unit}", "--lines=40", "--output=cat", "--no-pager", check=False).stdout.splitlines()
    return "; ".join(line for line in lines if "FATAL" in line or "ERROR" in line)


def check_room(directory):
    backups = info().get("backup")
    if not backups:
        raise Refused("there is no backup to restore")
    parent = directory
    while not os.path.exists(parent):
        parent = os.path.dirname(parent)
    size, free = backups[-1]["info"]["size"], shutil.disk_usage(parent).free
    # the set beside it needs its room as well
    if size * 1.2 + (1 << 28) > free:
        raise Refused(f"{size >> 20} MiB do not fit into the {free >> 20} MiB that are free at {parent}")


def remove(directory, unit):
    run("systemctl", "stop", f"{unit}.service", check=False)
    for path in (directory, socket_directory(directory)):
        shutil.rmtree(path, ignore_errors=True)


def drop(directory):
    directory = checked(directory)
    if not os.path.exists(os.path.join(directory, MADE_HERE)):
        raise Refused(f"{directory} was not made by 'backup restore'")
    remove(directory, unit_of(directory))


def main(words):
    actions = {
        ("check", 0): check, ("prepare", 0): prepare, ("verify", 0): verify, ("list", 0): show, ("run", 1): back_up, ("test", 0): test,
        ("restore", 2): restore_aside, ("drop", 1): drop, ("check-recovery", 0): check_recovery, ("recover", 2): recover,
        ("recovered", 1): recovered,
    }  # fmt: skip
    action = actions.get((words[0], len(words) - 1)) if words else None
    if action is None:
        print(__doc__, file=sys.stderr)
        return 2
    action(*words[1:])
    return 0


if __name__ == "__main__":
    end_with(main, sys.argv[1:])
