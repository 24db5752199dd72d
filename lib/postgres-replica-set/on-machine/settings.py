"""Tells etcd, by way of Patroni, of the settings that all members share; then the restarts that they ask for, one by one.

  settings.py check    PostgreSQL's own parser reads them
  settings.py apply
"""
import json
import os
import sys
import time

from node import ETC, FACTS, Refused, leader_of, members, note, rest, settings, wait_until
from render import check_parameters

# A replica refuses to start with less of these than its primary had: it goes last when they get smaller.
LESS_ON_PRIMARY_FIRST = (
    "max_connections",
    "max_locks_per_transaction",
    "max_prepared_transactions",
    "max_wal_senders",
    "max_worker_processes",
)


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
    if changed:
        server["parameters"] = changed
    if server:
        patch["postgresql"] = server
    return patch, before


def gets_less(changed, before):
    """Not known where a parameter goes back to PostgreSQL's default: then, as after a raise, replicas are first."""
    return any(
        name in LESS_ON_PRIMARY_FIRST and value is not None and name in before and int(value) < int(before[name])
        for name, value in changed.items()
    )


def apply():
    current = settings()
    if not current:
        raise Refused("Patroni does not tell its settings")
    patch, before = difference(current, wanted())
    if not patch:
        return
    status, answer = rest("/config", "PATCH", patch)
    if status != 200:
        raise Refused(f"Patroni does not take the settings: {answer}")
    note(f"told etcd: {json.dumps(patch, sort_keys=True)}")
    changed = patch.get("postgresql", {}).get("parameters", {})
    if changed:
        restart_in_turn(gets_less(changed, before))


def pending(name):
    _, answer = rest("/patroni", address=FACTS["members"][name])
    return isinstance(answer, dict) and answer.get("pending_restart", False)


def restart_in_turn(primary_first):
    """Members that wait for it, one after the other. The primary's own takes two seconds: less than two switchovers."""
    time.sleep(FACTS["loopWait"] + 2)  # each member looks at the settings once in a loop, and marks itself then
    found = members()
    leader = leader_of(found)
    replicas = sorted(member["name"] for member in found if member["name"] != leader and member["name"] in FACTS["members"])
    order = [leader, *replicas] if primary_first else [*replicas, leader]
    for name in order:
        if primary_first and name != leader:
            # it may take the smaller values when it has heard of them from its primary
            time.sleep(FACTS["loopWait"] + 2)
        if not pending(name):
            continue
        status, answer = rest("/restart", "POST", address=FACTS["members"][name], seconds=900)
        if status != 200:
            raise Refused(f"{name} does not restart with the new settings: {answer}")
        wait_until(lambda: is_back(name), 300, f"{name} does not come back")
        note(f"{name} restarted for settings that are read at the start only")


def is_back(name):
    found = members()
    me = next((member for member in found if member["name"] == name), {})
    if me.get("state") not in ("running", "streaming") or leader_of(found) is None:
        return False
    return not settings().get("synchronous_mode") or len(found) < 2 or any(m["role"] == "sync_standby" for m in found)


if __name__ == "__main__":
    try:
        if sys.argv[1:] == ["check"]:
            check_parameters(wanted()["postgresql"]["parameters"])
        else:
            apply()
    except Refused as refused:
        print(refused, file=sys.stderr)
        sys.exit(1)
