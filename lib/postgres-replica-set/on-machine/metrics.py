"""Does the exporter answer, and does the server on this machine tell it something?"""
import json
import os
import re
import urllib.request

from node import ETC, Refused, end_with, sql


def main():
    with open(os.path.join(ETC, "metrics.json")) as file:
        url = json.load(file)["url"]
    try:
        # no proxy's business
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(url, timeout=10) as answer:
            text = answer.read().decode()
    except OSError as error:
        raise Refused(f"{url} does not answer: {error}") from error
    up = re.search(r"^pg_up (\d)", text, re.M)
    if up is None:
        raise Refused(f"{url} says nothing of PostgreSQL")
    # a delayed member hears of the role later; one of a set that follows, when the other set has it
    is_known = sql("select 1 from pg_roles where rolname = 'prometheus' and rolcanlogin") == ["1"]
    if is_known and up[1] != "1":
        raise Refused("the exporter does not get into PostgreSQL: journalctl --unit prometheus-postgres-exporter")


if __name__ == "__main__":
    end_with(main)
