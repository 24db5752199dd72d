#!/usr/bin/env python3
# In ssh's place on the host of a repository: what pgBackRest asks of the member's server goes back by the socket of the member's own connection.
import os
import socket
import sys
import threading

member = socket.socket(socket.AF_UNIX)
member.connect(os.environ["CDKTF_HA_ASKS"])
member.sendall(sys.argv[-1].encode() + b"\n")


def ask():
    while True:
        data = os.read(0, 1 << 16)
        if not data:
            break
        member.sendall(data)
    member.shutdown(socket.SHUT_WR)


threading.Thread(target=ask, daemon=True).start()
while True:
    answer = member.recv(1 << 16)
    if not answer:
        break
    while answer:
        answer = answer[os.write(1, answer):]  # fmt: skip
