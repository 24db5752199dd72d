"""sql-client.py write|transact|read HOST PORT PASSWORD STOP-FILE DATABASE SECONDS-TO-CONNECT: statements until the file is there; a JSON line for each.
After the first that succeeds STOP-FILE.begun is there.

write: numbers, one after the other, over a connection that is kept as long as it lives, as an application does.
transact: the same, each in a transaction of several statements.
read: how many numbers there are, over a connection of its own each time.
"""

import json
import os
import sys
import time

import psycopg2

kind, host, port, password, stop, database, seconds = sys.argv[1:]
begun = stop + ".begun"


def connect():
    # nothing has happened before the first one, but that its computer is busy
    patience = int(seconds) if os.path.exists(begun) else 10
    connection = psycopg2.connect(
        host=host, port=port, user="app", password=password, dbname=database, connect_timeout=patience
    )
    connection.autocommit = kind != "transact"
    return connection


def ask(connection, statement, *values):
    with connection.cursor() as cursor:
        cursor.execute(statement, values)
        return cursor.fetchone()


def note(start, **facts):
    print(json.dumps({"at": start * 1000, "ms": (time.time() - start) * 1000, **facts}), flush=True)
    if facts["ok"] and not os.path.exists(begun):
        open(begun, "w").close()


kept = None
number = 0
while not os.path.exists(stop):
    start = time.time()
    number += 1
    try:
        if kind != "read":
            kept = kept or connect()
            _, server = ask(
                kept, "insert into numbers values (%s) returning n, host(inet_server_addr())", number
            )
            if kind == "transact":
                ask(kept, "select count(*) from numbers where n = %s", number)
                kept.commit()
            note(start, ok=True, number=number, server=server)
        else:
            connection = connect()
            _, server = ask(connection, "select count(*), host(inet_server_addr()) from numbers")
            connection.close()
            note(start, ok=True, server=server)
    except psycopg2.Error as error:
        note(start, ok=False, number=number, error=" ".join(str(error).split()))
        kept = None
    time.sleep(max(0, start + 0.05 - time.time()))
