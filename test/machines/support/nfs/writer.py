"""writer.py DIRECTORY ACKNOWLEDGED: appends numbered records and fsyncs each, with a lock on the file all along, until /run/writer.stop is there.

Only a record that fsync came back for is noted as acknowledged, with the time, on this machine. An error of any call ends it.
"""

import fcntl
import os
import sys
import time

directory, acknowledged = sys.argv[1:]
log = open(acknowledged, "w", buffering=1)
records = os.open(f"{directory}/records", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
fcntl.lockf(records, fcntl.LOCK_EX | fcntl.LOCK_NB)
number = 0
while not os.path.exists("/run/writer.stop"):
    number += 1
    os.write(records, b"%08d %s\n" % (number, b"x" * 200))
    os.fsync(records)
    log.write(f"{number} {time.time():.3f}\n")
    time.sleep(0.05)
