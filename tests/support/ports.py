"""Ports of 127.0.0.1 for servers of tests that want their number beforehand."""

from __future__ import annotations

import os
import random
import socket

# Below the ports that the kernel gives to outgoing connections (from 32768 on): none of those takes one away between
# the choice and the server's start, or while a server is down; nor does a client that tries such a port meet itself.
FIRST, LAST = 14000, 19999

# Workers of one run do not know what the others have given out: each has ports of its own.
WORKERS = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
WORKER = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % WORKERS

_given: set[int] = set()
_dice = random.Random(os.urandom(8))


def free_port() -> int:
    """A port that nobody has, neither for TCP nor for UDP; never the same twice in one run."""
    for _ in range(LAST - FIRST):
        port = _dice.randint(FIRST, LAST)
        if port in _given or port % WORKERS != WORKER:
            continue
        with socket.socket() as tcp, socket.socket(type=socket.SOCK_DGRAM) as udp:
            tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                for sock in (tcp, udp):
                    sock.bind(("127.0.0.1", port))
            except OSError:
                continue
        _given.add(port)
        return port
    raise AssertionError(f"no free port on 127.0.0.1 from {FIRST} to {LAST}")
