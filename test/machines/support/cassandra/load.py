"""A client that writes rows and reads each of them back, all along, and at the end reads every row that was acknowledged.

  load.py SETTINGS.json RESULT.json    until SIGTERM; the result is kept up to date while it runs

An operation has failed when the driver's own retries, on other nodes, have not helped.
"""
import json
import os
import signal
import ssl
import sys
import threading
import time

from cassandra import ConsistencyLevel
from cassandra.auth import PlainTextAuthProvider
from cassandra.cluster import EXEC_PROFILE_DEFAULT, Cluster, ExecutionProfile
from cassandra.policies import ConstantReconnectionPolicy, ConstantSpeculativeExecutionPolicy, DCAwareRoundRobinPolicy, RetryPolicy


class InTurn(DCAwareRoundRobinPolicy):
    """Speculative executions and retries use up one and the same plan: each node stands in it three times."""

    def make_query_plan(self, *arguments):
        return 3 * list(super().make_query_plan(*arguments))


class OnOtherNodes(RetryPolicy):
    def decide(self, retry_num, consistency):
        return (self.RETRY_NEXT_HOST, consistency) if retry_num < 4 else (self.RETHROW, None)

    def on_read_timeout(self, query, consistency, required, received, data, retry_num):
        return self.decide(retry_num, consistency)

    def on_write_timeout(self, query, consistency, write_type, required, received, retry_num):
        return self.decide(retry_num, consistency)

    def on_unavailable(self, query, consistency, required, alive, retry_num):
        time.sleep(0.2 * retry_num)
        return self.decide(retry_num, consistency)

    def on_request_error(self, query, consistency, error, retry_num):
        return self.decide(retry_num, consistency)


settings = json.load(open(sys.argv[1]))
profile = ExecutionProfile(
    load_balancing_policy=InTurn(local_dc=settings["datacenter"]),
    retry_policy=OnOtherNodes(),
    consistency_level=ConsistencyLevel.name_to_value[settings["consistency"]],
    request_timeout=20,
    # a node that lost its power says nothing at all: after half a second another one is asked too
    speculative_execution_policy=ConstantSpeculativeExecutionPolicy(delay=0.5, max_attempts=2),
)
def tls():
    if "trusted" not in settings:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.load_verify_locations(cadata=settings["trusted"])
    with open("/root/client.pem", "w") as file:
        file.write(settings["certificate"])
    context.load_cert_chain("/root/client.pem")
    return context


cluster = Cluster(
    settings["contactPoints"],
    ssl_context=tls(),
    auth_provider=PlainTextAuthProvider(settings["user"], settings["password"]),
    execution_profiles={EXEC_PROFILE_DEFAULT: profile},
    reconnection_policy=ConstantReconnectionPolicy(1, max_attempts=None),
    protocol_version=4,
    # several heartbeats a second would hide what an ordinary client sees
    idle_heartbeat_interval=5,
    connect_timeout=20,  # the first login, on a node that has just started
    control_connection_timeout=20,  # of a node that has just started
)
session = cluster.connect()
session.execute(
    f"CREATE TABLE IF NOT EXISTS {settings['keyspace']}.load (id bigint PRIMARY KEY, value text)", timeout=60
)
insert = session.prepare(f"INSERT INTO {settings['keyspace']}.load (id, value) VALUES (?, ?)")
select = session.prepare(f"SELECT value FROM {settings['keyspace']}.load WHERE id = ?")
insert.is_idempotent = select.is_idempotent = True

lock = threading.Lock()
stop = threading.Event()
signal.signal(signal.SIGTERM, lambda *_: stop.set())
acknowledged = []
result = {"operations": 0, "failed": [], "wrong": 0, "slowestMs": 0, "acknowledged": 0, "lost": None, "running": True}
start = int(time.time() * 1000) * 1000
number = 0


def save():
    with open(sys.argv[2] + ".new", "w") as file:
        json.dump(result, file)
    os.rename(sys.argv[2] + ".new", sys.argv[2])


def operation(statement, values):
    began = time.monotonic()
    try:
        rows = session.execute(statement, values)
    except Exception as error:
        with lock:
            result["failed"].append(f"{time.time():.3f} {type(error).__name__}: {error}"[:300])
        return None
    finally:
        with lock:
            result["operations"] += 1
            result["slowestMs"] = max(result["slowestMs"], round((time.monotonic() - began) * 1000))
    return rows


def worker(pause):
    global number
    while not stop.is_set():
        with lock:
            number += 1
            row = start + number
        if operation(insert, (row, str(row))) is not None:
            with lock:
                acknowledged.append(row)
                result["acknowledged"] += 1
            rows = operation(select, (row,))
            if rows is not None and [found.value for found in rows] != [str(row)]:
                with lock:
                    result["wrong"] += 1
        stop.wait(pause)


save()
workers = [threading.Thread(target=worker, args=(settings["workers"] / settings["perSecond"],)) for _ in range(settings["workers"])]
for thread in workers:
    thread.start()
while not stop.wait(0.5):
    with lock:
        save()
for thread in workers:
    thread.join()
lost = 0
for row in acknowledged:
    for attempt in range(5):
        try:
            lost += [found.value for found in session.execute(select, (row,))] != [str(row)]
            break
        except Exception:
            if attempt == 4:
                lost += 1
            time.sleep(1)
result["lost"] = lost
result["running"] = False
save()
cluster.shutdown()
