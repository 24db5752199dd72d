"""Tells etcd, by way of Patroni, of the settings that all members share; then the restarts that they ask for, one by one.

  settings.py check    PostgreSQL's own parser reads them
  settings.py apply
"""
import concurrent.futures
import json
import os
import sys
import time

from node import (
    ETC, FACTS, RUNNING, Refused, end_with, lacks_synchronous, leader_of, listens, members, note, rest, settings, wait_until,
)  # fmt: skip
from render import check_parameters
from switchover import restart_server

# A replica refuses to start with less of these than its primary had: it goes last when they get smaller. With what Patroni
# takes where nobody says a value.
LESS_ON_PRIMARY_FIRST = {
    "max_connections": 100,
    "max_locks_per_transaction": 64,
    "max_prepared_transactions": 0,
    "max_wal_senders": 10,
    "max_worker_processes": 8,
}

THREE_LOOPS = 3 * FACTS["loopWait"] + 5


def wanted():
    with open(os.path.join(ETC, "settings.json")) as file:
        return json.load(file)


def difference(current, new):
    """What PATCH has to say so that the current settings become the new ones; parameters that are gone are taken back."""
    patch = {key: value for key, value in new.items() if key != "postgresql" and current.get(key) != value}
    old, own = current.get("postgresql", {}), new["postgresql"]
    server = {key: value for key, value in own.items() if key != "parameters" and old.get(key) != value}
    before, after = old.get("parameters") or {}, own["parameters"]
    changed = {name: value for name, value in after.items() if str(before.get(name)) != str(value)}
    changed.update({name: None for name in before if name not in after})
    # of the keys that the set has at times only: another one is somebody else's
    server.update({key: None for key in ("recovery_conf",) if old.get(key) is not None and key not in own})
    if current.get("standby_cluster") and "standby_cluster" not in new:
        patch["standby_cluster"] = None
    if changed:
        server["parameters"] = changed
    if server:
        patch["postgresql"] = server
    return patch, before


def check_standby(current, new):
    """A set that followed another one may lead when that one is gone; and one that leads never follows again."""
    if current and "standby_cluster" in new and not current.get("standby_cluster"):
        raise Refused("this set lives as a primary, and does not become another one's standby")
    upstream = current.get("standby_cluster")
    if not upstream or "standby_cluster" in new:
        return
    hosts = upstream["host"].split(",")
    with concurrent.futures.ThreadPoolExecutor() as pool:  # a machine that is off is silent for seconds
        answers = list(pool.map(lambda host: listens(host, upstream["port"]), hosts))
    alive = [host for host, answer in zip(hosts, answers) if answer is True]
    if alive:
        raise Refused(
            f"{', '.join(alive)} of the set that this one follows still answers at port {upstream['port']}: two primaries would take writes. "
            "Stop Patroni on each of its machines, or cut them off from here and from the clients, and apply again"
        )


def await_promotion():
    note("this set is a primary of its own from now on; the one that it followed must stay down, and can come back as a new set that follows")
    addresses = FACTS["members"].values()
    wait_until(
        lambda: any(rest("/primary", address=address, seconds=3)[0] == 200 for address in addresses),
        THREE_LOOPS + 60, "no member has become a primary",
    )  # fmt: skip


def gets_less(changed, before):
    def number(name, value):
        return LESS_ON_PRIMARY_FIRST[name] if value is None else int(value)

    return any(number(name, value) < number(name, before.get(name)) for name, value in changed.items() if name in LESS_ON_PRIMARY_FIRST)


def taking_back(patch, before):
    """The PATCH that makes another one undone."""
    back = {}
    for key, value in patch.items():
        old = before.get(key)
        back[key] = taking_back(value, old) if isinstance(value, dict) and isinstance(old, dict) else old
    return back


def apply():
    current = settings()
    if not current:
        raise Refused("Patroni does not tell its settings")
    check_standby(current, wanted())
    patch, before = difference(current, wanted())
    changed = patch.get("postgresql", {}).get("parameters", {})
    if patch:
        tell(patch)
    if patch.pop("standby_cluster", current) is None:
        await_promotion()  # what comes after may go back, this may not
    try:
        # also where nothing is new: restarts that were cut off go on
        restart_in_turn(gets_less(changed, before), bool(changed))
    except Refused:
        if patch:
            tell(taking_back(patch, current))
        raise


def tell(patch):
    status, answer = rest("/config", "PATCH", patch)
    if status != 200:
        raise Refused(f"Patroni does not take the settings: {answer}")
    note(f"told etcd: {json.dumps(patch, sort_keys=True)}")


def pending(name):
    told = []

    def answers():
        told[:] = [rest("/patroni", address=FACTS["members"][name])[1]]
        return isinstance(told[0], dict)

    wait_until(answers, 30, lambda: f"{name} does not tell whether it waits for a restart: {told[0]}")
    return told[0].get("pending_restart", False)


def await_marks(names):
    """Each member looks at the settings once in a loop, and marks itself then; a setting may also ask for no restart."""
    until = time.monotonic() + THREE_LOOPS
    while time.monotonic() < until and not all(pending(name) for name in names):
        time.sleep(1)


def restart_in_turn(primary_first, is_new):
    """Members that wait for it, one after the other. The primary's own takes two seconds: less than two switchovers."""
    found = members()
    leader = leader_of(found)
    if leader is None:
        raise Refused("nobody leads: no member is restarted now")
    replicas = sorted(member["name"] for member in found if member["name"] != leader and member["name"] in FACTS["members"])
    order = [leader, *replicas] if primary_first else [*replicas, leader]
    late = {m["name"]: m["tags"]["apply_delay"] for m in found if m.get("tags", {}).get("apply_delay")} if primary_first else {}
    if is_new:
        await_marks(order)
    for last in (False, True):
        for name in order:
            if primary_first and name != leader:
                # it may take the smaller values when it has heard of them from its primary
                time.sleep(FACTS["loopWait"] + 2)
            if pending(name):
                restart(name)
        await_restarts = [name for name in order if name not in late]
        try:
            wait_until(lambda: not any(pending(name) for name in await_restarts), THREE_LOOPS, lambda: still_waiting(await_restarts), every=1)
            for name in late:
                # it hears of its primary's smaller values when it applies them
                note(f"{name} is delayed: it takes the smaller values with its first restart in {late[name]}")
            return
        except Refused:
            # where a change was cut off, nobody knows whether values got smaller: then replicas can take them only now
            if last:
                raise


def still_waiting(order):
    return f"{', '.join(name for name in order if pending(name))} still waits for a restart"


def restart(name):
    is_primary = leader_of(members()) == name
    restart_server(is_primary, f"{name} does not restart with the new settings", address=FACTS["members"][name])
    wait_until(lambda: is_back(name), 300, f"{name} does not come back")
    note(f"{name} restarted for settings that are read at the start only")


def is_back(name):
    found = members()
    me = next((member for member in found if member["name"] == name), {})
    return me.get("state") in RUNNING and leader_of(found) is not None and not lacks_synchronous(found)


def check():
    check_parameters(wanted()["postgresql"]["parameters"])
    check_standby(settings(), wanted())


if __name__ == "__main__":
    end_with(check if sys.argv[1:] == ["check"] else apply)
