"""A repository on another host, by SSH. pgBackRest makes backups only where the repository is: so it is started over there, by this member and for
the time of a backup, and what it asks of this member's server comes back by the same connection. The host keeps the repository and nothing
else: no setting, no passphrase, and no key that lets it in here."""
import os
import re
import secrets
import shlex
import shutil
import socket
import subprocess
import tempfile
import threading

from node import DATA, LIB, Refused, run

# what decides about a backup; the rest of the file is about this side
SETTINGS = (
    "repo1-path", "repo1-cipher-type", "repo1-retention-full", "repo1-bundle", "start-fast", "compress-type", "process-max",
    "archive-timeout",
)  # fmt: skip


def check_host(settings):
    """Everything that a backup needs of the host."""
    there = at_host(settings, "", ["version"]).strip()
    here = run("pgbackrest", "version", cwd="/").stdout.strip()
    if there != here:
        raise Refused(f"the host of the repository has {there}, this member has {here}: pgBackRest wants the same release on both sides")


def back_up_at_host(settings, stanza, kind):
    words = [f"--{name}={settings[name]}" for name in SETTINGS if name in settings]
    words += [
        f"--stanza={stanza}", "--pg1-host=the-member", "--pg1-host-user=postgres", f"--pg1-path={DATA}", "--pg1-socket-path=/var/run/postgresql",
        "--log-level-file=off", "--log-level-console=warn", f"--type={kind}", "backup",
    ]  # fmt: skip
    at_host(settings, stanza, words)


def at_host(settings, stanza, words):
    """What a command of pgBackRest's prints that runs on the host; with a way back to this member for as long."""
    directory = tempfile.mkdtemp(prefix="cdktf-ha-repository-", dir="/run")
    asks = Asks(os.path.join(directory, "asks"), stanza)
    try:
        shutil.chown(directory, "postgres", "postgres")
        there = f"/tmp/cdktf-ha-{secrets.token_hex(16)}"  # sshd lets that account alone connect
        done = run(
            "runuser", "--user", "postgres", "--", f"{LIB}/repository-ssh", "-R", f"{there}:{asks.path}",
            f"{settings['repo1-host-user']}@{settings['repo1-host']}", "sh -s",
            check=False, cwd="/", input=script(settings, there, words),
        )  # fmt: skip
    finally:
        asks.close()
        shutil.rmtree(directory)
    if done.returncode:
        raise Refused(f"{settings['repo1-host']}: {(done.stderr + done.stdout).strip()}")
    return done.stdout


def script(settings, there, words):
    """By standard input: neither the passphrase nor anything else shows among the host's processes."""
    with open(f"{LIB}/repository_bridge.py") as file:
        bridge = file.read()
    with open(f"{LIB}/repository-host.sh") as file:
        program = file.read()
    lines = [shlex.join(["set", "--", there, bridge, settings["repo1-path"], *words])]
    if "repo1-cipher-pass" in settings:
        lines.append(f"export PGBACKREST_REPO1_CIPHER_PASS={shlex.quote(settings['repo1-cipher-pass'])}")
    return "\n".join([*lines, program])


class Asks:
    """Answers what pgBackRest asks over there, by pgBackRest here: of this stanza, of a backup, and nothing else."""

    def __init__(self, path, stanza):
        self.path, self.stanza = path, stanza
        self.answers = []
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(path)
        shutil.chown(path, "postgres", "postgres")
        os.chmod(path, 0o600)
        self.listener.listen()
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()

    def serve(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return  # closed
            with connection:
                self.answer(connection)

    def answer(self, connection):
        connection.settimeout(30)
        asked = b""
        try:
            # one by one: what comes after the line is pgBackRest's own
            while not asked.endswith(b"\n") and len(asked) < 1 << 14:
                byte = connection.recv(1)
                if not byte:
                    return
                asked += byte
        except OSError:
            return
        connection.settimeout(None)
        words = shlex.split(asked.decode(errors="replace"))
        numbers = [word for word in words if re.fullmatch(r"--process=\d+|--exec-id=\d+-[0-9a-f]+", word)]
        if not words or words[-1] != "backup:remote" or len(numbers) != 2:
            return
        command = [
            "pgbackrest", "--config=/dev/null", *numbers, "--remote-type=pg", f"--stanza={self.stanza}", f"--pg1-path={DATA}",
            "--pg1-socket-path=/var/run/postgresql", "--log-level-console=off", "--log-level-file=off", "--log-level-stderr=error",
            "backup:remote",
        ]  # fmt: skip
        self.answers.append(
            subprocess.Popen(["runuser", "--user", "postgres", "--", *command], stdin=connection, stdout=connection, cwd="/")
        )

    def close(self):
        # accept() in a thread hears of it this way, not by close() alone
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.thread.join()
        for answer in self.answers:
            answer.terminate()
            answer.wait()
