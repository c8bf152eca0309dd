"""Whether the host works: its node is ready, who had a network has it still, other hosts and it reach each other."""

from __future__ import annotations

import http.client
import json
import socket
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tortie.packages.rollout.hand import neighbours
from tortie.packages.rollout.hand.files import Failed

SECONDS = 5.0
PAUSE = 0.25
REACH_SECONDS = 30.0
"""From when the node is ready: by then its routes are in the kernel."""


class _Connection(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=SECONDS)
        self._path = str(path)

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(SECONDS)
        self.sock.connect(self._path)


def endpoints_up(path: Path) -> list[str]:
    """The endpoints that are up now, as the node at `path` says; none when no node answers."""
    try:
        status, body = _get(path, "/status")
        found: dict[str, Any] = json.loads(body)["endpoints"] if status == http.client.OK else {}
    except (OSError, http.client.HTTPException, ValueError, KeyError):
        return []
    return sorted(name for name, endpoint in found.items() if endpoint["state"] == "up")


def peers_reached(path: Path) -> list[str]:
    """The other nodes whose hosts and this one reach each other now, as containers would."""
    known = _peers(path)
    names = list(neighbours.asked_for(known, known["peers"]))
    unheard = neighbours.silent(known, names) if names else {}
    return sorted(set(names) - set(unheard))


def wait(path: Path, before: Sequence[str], peers: Sequence[str], settle: float, patience: float) -> str:
    """What was found once the host has worked `settle` seconds without a break and then reaches `peers` and is reached
    by them. Failed: what it waited for in vain."""
    _wait_for_the_node(path, before, settle, patience)
    ends = time.monotonic() + REACH_SECONDS
    while missing := neighbours.silent(_peers(path), peers):
        if time.monotonic() > ends:
            (name, why), *more = sorted(missing.items())
            others = f", nor by {len(more)} other hosts" if more else ""
            text = f"containers here are not reached by those of {name}, or the other way round ({why}){others}"
            raise Failed(f"{text}, {REACH_SECONDS:g} s long")
        _wait_for_the_node(path, before, 0, patience)
    return _found(path, before, len(neighbours.asked_for(_peers(path), peers)))


def _wait_for_the_node(path: Path, before: Sequence[str], settle: float, patience: float) -> None:
    now = time.monotonic()
    ends, since = now + patience, None
    while True:
        problem, now = _problem(path, before), time.monotonic()
        if problem is None:
            since = now if since is None else since
            if now - since >= settle:
                return
        else:
            since = None
            if now > ends:
                raise Failed(f"{problem}, {patience:g} s long")
        time.sleep(PAUSE)


def _problem(path: Path, before: Sequence[str]) -> str | None:
    try:
        status, body = _get(path, "/readiness")
    except (OSError, http.client.HTTPException) as error:
        return f"the node does not answer ({error})"
    if status != http.client.NO_CONTENT:
        return f"the node is not ready: {body.decode(errors='replace')[:300]}"
    # One that is gone is not missed: its workload may have ended meanwhile.
    down = sorted(name for name, state in _states(path).items() if state != "up" and name in set(before))
    return f"{len(down)} endpoints that were up are not ({down[0]} is one)" if down else None


def _found(path: Path, before: Sequence[str], peers: int) -> str:
    states = _states(path)
    up = sum(states.get(name) == "up" for name in before)
    gone = sum(name not in states for name in before)
    words = ["ready", f"endpoints up: {up}" if up else "", f"ended meanwhile: {gone}" if gone else ""]
    words.append(f"other hosts reached: {peers}" if peers else "")
    return ", ".join(filter(None, words))


def _states(path: Path) -> dict[str, str]:
    try:
        _, body = _get(path, "/status")
        return {name: endpoint["state"] for name, endpoint in json.loads(body)["endpoints"].items()}
    except (OSError, http.client.HTTPException, ValueError, KeyError):
        return {}


def _peers(path: Path) -> dict[str, Any]:
    """As the node knows them; none when it does not say, as those of an older version."""
    try:
        status, body = _get(path, "/peers")
        found: dict[str, Any] = json.loads(body) if status == http.client.OK else {}
    except (OSError, http.client.HTTPException, ValueError):
        found = {}
    return {"own": [], "peers": {}, **found}


def _get(path: Path, target: str) -> tuple[int, bytes]:
    connection = _Connection(path)
    try:
        connection.request("GET", target)
        reply = connection.getresponse()
        return reply.status, reply.read()
    finally:
        connection.close()
