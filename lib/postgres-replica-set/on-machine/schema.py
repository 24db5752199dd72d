"""Databases, roles, grants and extensions as the file has them. Every member runs this at the same time: the one that leads
does it, the others wait until they see it done.

  schema.py          as root: reads the file and the passwords, waits for its part
  schema.py apply    as postgres, on the primary: the same on standard input
  schema.py members  as postgres, on the primary: the members' new password on standard input
  schema.py make-members  as postgres, on a server that is no member yet: the members' roles, as Patroni makes them in a set that begins
"""
import contextlib
import hashlib
import json
import os
import secrets
import subprocess
import sys
import time

from node import ETC, Refused, end_with, leads, note, sql, takes_writes

OWN = "cdktf_ha"


def model():
    with open(os.path.join(ETC, "schema.json")) as file:
        found = json.load(file)
    for role in found["roles"]:
        with open(role["passwordFile"]) as file:
            role["password"] = file.read()
    return found


def digest(text, salt):
    """Passwords are in it: nobody finds them by trying."""
    return hashlib.scrypt(text.encode(), salt=bytes.fromhex(salt), n=2**14, r=8, p=1).hex()


def is_done(text):
    """Does the server on this machine hold the very same?"""
    found = sql(f"select salt, digest from {OWN}.schema")
    if not found:
        return False
    salt, _, known = found[0].partition("|")
    return digest(text, salt) == known


def main():
    from render import tags

    if tags().get("apply_delay"):
        print(f"delayed: sees it when {tags()['apply_delay']} are over")
        return
    wanted = model()
    if wanted.pop("standby", False):
        print("this set follows another one: databases and roles are made there")
        return
    text = json.dumps(wanted, sort_keys=True)
    until = time.monotonic() + 120
    while not is_done(text):
        if takes_writes():
            command = ["runuser", "--user", "postgres", "--", sys.executable, "-B", os.path.abspath(__file__), "apply"]
            done = subprocess.run(command, input=text, capture_output=True, text=True, check=False, cwd="/")
            if done.returncode == 0:
                note("databases, roles and grants are as the code has them")
                return
            if leads():
                raise Refused(done.stderr.strip())
        if time.monotonic() > until:
            raise Refused("no member leads that would make databases and roles, or what it made does not come here")
        time.sleep(0.5)


class Server:
    """The server on this machine, as the superuser, in whichever database."""

    def __init__(self):
        self.connections = {}

    def connection(self, database="postgres"):
        import psycopg2

        if database not in self.connections:
            self.connections[database] = psycopg2.connect(host="/var/run/postgresql", dbname=database, connect_timeout=10)
            self.connections[database].autocommit = True
        return self.connections[database]

    def execute(self, where, statement, values=None, /, **names):
        from psycopg2 import sql as q

        with self.connection(where).cursor() as cursor:
            cursor.execute(q.SQL(statement).format(**{name: q.Identifier(word) for name, word in names.items()}), values)
            return cursor.fetchall() if cursor.description else []

    @contextlib.contextmanager
    def transaction(self, database):
        connection = self.connection(database)
        connection.autocommit = False
        try:
            with connection:
                yield
        finally:
            connection.autocommit = True

    def set_password(self, role, password):
        """As the server keeps it, made here: a statement may be logged."""
        from psycopg2.extensions import encrypt_password

        verifier = encrypt_password(password, role, self.connection(), "scram-sha-256")
        self.execute("postgres", "alter role {role} password %s", [verifier], role=role)


def make_members():
    execute = Server().execute
    for role, rights in (("replicator", "login replication"), ("rewind", "login")):
        if not execute("postgres", "select 1 from pg_roles where rolname = %s", [role]):
            execute("postgres", "create role {role}", role=role)
        execute("postgres", f"alter role {{role}} {rights}", role=role)
    for function in ("pg_ls_dir(text, boolean, boolean)", "pg_stat_file(text, boolean)", "pg_read_binary_file(text)", "pg_read_binary_file(text, bigint, bigint, boolean)"):
        execute("postgres", f"grant execute on function pg_catalog.{function} to {{role}}", role="rewind")
    tell_members()


def tell_members():
    server, password = Server(), sys.stdin.read()
    for role in ("replicator", "rewind"):
        server.set_password(role, password)


def apply():
    text = sys.stdin.read()
    wanted, server = json.loads(text), Server()
    execute = server.execute
    mine = "cdktf-ha-clusters"  # whom the comment names was made here, and is switched off when it leaves the code
    for role in wanted["roles"]:
        name = role["name"]
        if not execute("postgres", "select 1 from pg_roles where rolname = %s", [name]):
            execute("postgres", "create role {role}", role=name)
        execute("postgres", "alter role {role} login connection limit %s", [role["connectionLimit"]], role=name)
        server.set_password(name, role["password"])
        execute("postgres", "comment on role {role} is %s", [mine], role=name)
    names = [role["name"] for role in wanted["roles"]]
    if "metrics" in wanted:
        # by its user of the system, from this machine: no password, and nothing but what the server says of itself
        metrics = wanted["metrics"]
        if not execute("postgres", "select 1 from pg_roles where rolname = %s", [metrics]):
            execute("postgres", "create role {role}", role=metrics)
        execute("postgres", "alter role {role} login connection limit 5", role=metrics)
        execute("postgres", "grant pg_monitor to {role}", role=metrics)
        execute("postgres", "comment on role {role} is %s", [mine], role=metrics)
        names.append(metrics)
    for (gone,) in execute(
        "postgres",
        "select rolname from pg_roles where rolcanlogin and shobj_description(oid, 'pg_authid') = %s and rolname <> all(%s)",
        [mine, names],
    ):
        execute("postgres", "alter role {role} nologin", role=gone)
        execute("postgres", "select pg_terminate_backend(pid) from pg_stat_activity where usename = %s", [gone])
        note(f"role {gone} has left the code: it may no longer log in")
    for database in wanted["databases"]:
        name, owner = database["name"], database["owner"]
        if not execute("postgres", "select 1 from pg_database where datname = %s", [name]):
            execute("postgres", "create database {database} owner {owner}", database=name, owner=owner)
        execute("postgres", "alter database {database} owner to {owner}", database=name, owner=owner)
        # by default everybody may connect to every database
        execute("postgres", "revoke connect, temporary on database {database} from public", database=name)
        for extension in database["extensions"]:
            execute(name, "create extension if not exists {extension}", extension=extension)
        # what is taken and given again is never missed by anybody
        with server.transaction(name):
            for role in wanted["roles"]:
                grant(execute, name, owner, role["name"], role["grants"].get(name))
    finish(execute, text)


READ = ("select",)
WRITE = ("select", "insert", "update", "delete")


def grant(execute, database, owner, role, access):
    """In the schema public, on what is there and on what the owner adds."""
    words = dict(database=database, role=role, owner=owner)
    if role == owner:
        execute(database, "grant all on schema public to {role}", role=role)
        return
    execute(database, "revoke all on database {database} from {role}", **words)
    for kind in ("tables", "sequences"):
        execute(database, f"revoke all on all {kind} in schema public from {{role}}", **words)
        execute(database, f"alter default privileges for role {{owner}} in schema public revoke all on {kind} from {{role}}", **words)
    if access is None:
        return
    execute(database, "grant connect, temporary on database {database} to {role}", **words)
    execute(database, "grant usage on schema public to {role}", **words)
    tables = ", ".join(WRITE if access == "write" else READ)
    sequences = "usage, select" if access == "write" else "select"
    for kind, rights in (("tables", tables), ("sequences", sequences)):
        execute(database, f"grant {rights} on all {kind} in schema public to {{role}}", **words)
        execute(database, f"alter default privileges for role {{owner}} in schema public grant {rights} on {kind} to {{role}}", **words)


def finish(execute, text):
    """For the superuser's eyes only, and for the members that follow."""
    salt = secrets.token_hex(16)
    execute("postgres", f"create schema if not exists {OWN}")
    execute("postgres", f"create table if not exists {OWN}.schema (one boolean primary key default true check (one), salt text, digest text)")
    execute(
        "postgres",
        f"insert into {OWN}.schema (salt, digest) values (%s, %s) on conflict (one) do update set salt = excluded.salt, digest = excluded.digest",
        [salt, digest(text, salt)],
    )


if __name__ == "__main__":
    end_with({"apply": apply, "members": tell_members, "make-members": make_members}.get("".join(sys.argv[1:]), main))
