"""Whether the host works: its node is ready, who had a network has it still, other hosts and it reach each other."""

from __future__ import annotations

import http.client
import json
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

from tortie.packages.rollout.hand import neighbours, questions
from tortie.packages.rollout.hand.files import Failed

SECONDS = 5.0
PAUSE = 0.25
TRIES = 3
"""Of what is asked before a step: whoever is only slow then would not be missed afterwards."""
REACH_SECONDS = 30.0
"""From when the node is ready: by then its routes are in the kernel."""
UNSAID = (OSError, http.client.HTTPException, ValueError, KeyError)
"""What becomes of a question that the node does not answer, or not in words that can be read."""


T = TypeVar("T")


class _Connection(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=SECONDS)
        self._path = str(path)

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(SECONDS)
        self.sock.connect(self._path)


def answers(path: Path) -> bool:
    """Whether a node runs at `path`, ready or not."""
    try:
        _get(path, "/readiness")
    except UNSAID:
        return False
    return True


def endpoints_up(path: Path) -> list[str]:
    """The endpoints that are up now, as the node at `path` says; none when no node answers."""
    try:
        found = _in_time(_states, path)
    except UNSAID:
        return []
    return sorted(name for name, state in found.items() if state == "up")


def peers_reached(path: Path) -> list[str]:
    """The other nodes whose hosts and this one reach each other now, as containers would, by the names of questions;
    none when no node answers."""
    try:
        known = _in_time(_peers, path)
    except UNSAID:
        return []
    asked = questions.asked_for(known, known["peers"])
    silent = neighbours.silent(known, neighbours.silent(known, asked))
    return sorted(asked.keys() - silent.keys())


def wait(path: Path, before: Sequence[str], peers: Sequence[str] | None, settle: float, patience: float) -> str:
    """What was found once the host has worked `settle` seconds without a break and then reaches `peers` and is reached
    by them; None: nobody is asked. Failed: what it waited for in vain."""
    states = _wait_for_the_node(path, before, settle, patience)
    ends = time.monotonic() + REACH_SECONDS
    while True:
        asked, problem = (0, None) if peers is None else _reached(path, peers)
        if problem is None:
            return _found(before, states, asked)
        if time.monotonic() > ends:
            raise Failed(f"{problem}, {REACH_SECONDS:g} s long")
        time.sleep(PAUSE)
        states = _wait_for_the_node(path, before, 0, patience)


def _in_time(ask: Callable[[Path], T], path: Path) -> T:
    """Raises what `ask` raises; a node that hangs at last TimeoutError."""
    for _ in range(TRIES - 1):
        with suppress(TimeoutError):
            return ask(path)
    return ask(path)


def _reached(path: Path, peers: Sequence[str]) -> tuple[int, str | None]:
    """How many of the peers could be asked, and what is wrong with some of them."""
    try:
        known = _peers(path)
    except UNSAID as error:
        return 0, f"the node does not tell of other hosts ({_words(error)})"
    if known["lacking"]:
        return 0, f"the node is not to be reached yet: {known['lacking']}"
    if missing := neighbours.silent(known, peers):
        (_, wrong), *more = sorted(missing.items())
        return 0, f"{wrong}, and {len(more)} more like this" if more else wrong
    return len({question.host for question in questions.asked_for(known, peers).values()}), None


def _wait_for_the_node(path: Path, before: Sequence[str], settle: float, patience: float) -> dict[str, str]:
    """The state of each endpoint."""
    now = time.monotonic()
    ends, since = now + patience, None
    while True:
        states, problem = _look(path, before)
        now = time.monotonic()
        if problem is None:
            since = now if since is None else since
            if now - since >= settle:
                return states
        else:
            since = None
            if now > ends:
                raise Failed(f"{problem}, {patience:g} s long")
        time.sleep(PAUSE)


def _look(path: Path, before: Sequence[str]) -> tuple[dict[str, str], str | None]:
    """The state of each endpoint, and what is wrong."""
    try:
        status, body = _get(path, "/readiness")
        if status != http.client.NO_CONTENT:
            return {}, f"the node is not ready: {body.decode(errors='replace')[:300]}"
        states = _states(path)
    except UNSAID as error:
        return {}, f"the node does not answer ({_words(error)})"
    # One that is gone is not missed: its workload may have ended meanwhile.
    down = sorted(name for name, state in states.items() if state != "up" and name in set(before))
    return states, f"{len(down)} endpoints that were up are not ({down[0]} is one)" if down else None


def _found(before: Sequence[str], states: Mapping[str, str], peers: int) -> str:
    up = sum(states.get(name) == "up" for name in before)
    gone = sum(name not in states for name in before)
    words = ["ready", f"endpoints up: {up}" if up else "", f"ended meanwhile: {gone}" if gone else ""]
    words.append(f"other hosts reached: {peers}" if peers else "")
    return ", ".join(filter(None, words))


def _states(path: Path) -> dict[str, str]:
    """Raises what is in UNSAID."""
    status, body = _get(path, "/status")
    if status != http.client.OK:
        raise ValueError(f"/status: HTTP {status}")
    return {name: endpoint["state"] for name, endpoint in json.loads(body)["endpoints"].items()}


def _peers(path: Path) -> dict[str, Any]:
    """As the node knows them; none where it is of a version that does not know the question. Raises what is in
    UNSAID."""
    status, body = _get(path, "/peers")
    if status not in (http.client.OK, http.client.NOT_FOUND):
        raise ValueError(f"/peers: HTTP {status}")
    found: dict[str, Any] = json.loads(body) if status == http.client.OK else {}
    return {"own": [], "peers": {}, "lacking": "", **found}


def _words(error: Exception) -> str:
    return str(error) or type(error).__name__


def _get(path: Path, target: str) -> tuple[int, bytes]:
    connection = _Connection(path)
    try:
        connection.request("GET", target)
        reply = connection.getresponse()
        return reply.status, reply.read()
    finally:
        connection.close()
