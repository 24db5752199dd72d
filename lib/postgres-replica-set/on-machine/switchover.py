"""What happens to the primary as planned: it hands the lead over, before a restart or by an operator's word, or starts anew in its place."""
import contextlib
import json
import time

from node import FACTS, NAME, RUNNING, Refused, may_lead, members, note, own_state, rest, settings, sql, streams, wait_until
from pooler import paused


def switch_over():
    """Another member leads, which has every commit; this one follows it when this returns. Who comes by way of the poolers only waits."""
    def candidate():
        found = members()
        wanted = ("sync_standby",) if settings().get("synchronous_mode") else ("sync_standby", "replica")
        return any(m["role"] in wanted and m["state"] in RUNNING and may_lead(m) for m in found)

    wait_until(candidate, 60, lambda: f"no other member could lead: {json.dumps(members())}")
    if "pooler" in FACTS:
        sql("checkpoint")  # what the last one finds to write is waited for
    with paused():
        started = time.monotonic()
        status, answer = rest("/switchover", "POST", {"leader": NAME}, seconds=120)
        if status != 200:
            raise Refused(f"Patroni does not switch over: {answer}")
        note(f"switched over in {time.monotonic() - started:.1f} s: {answer}")
    wait_until(lambda: own_state().get("state") == "running" and streams(), 300, "the old primary does not follow the new one")


def restart_server(is_primary, problem, **where):
    """PostgreSQL starts anew. Where it is the primary, who comes by way of the poolers only waits."""
    with paused() if is_primary else contextlib.nullcontext():
        status, answer = rest("/restart", "POST", seconds=900, **where)
        if status != 200:
            raise Refused(f"{problem}: {answer}")
