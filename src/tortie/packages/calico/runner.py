"""Runs on a host, where it comes as text: fetches a request, lets its hand read it, brings what that said.

Standard library only. The address is a secret of this one request, which may hold a password. So it comes in the
environment, which nobody but the same user can read, and nothing that is begun here is given it.
"""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager

FETCH_SECONDS = 300.0
STARTING_SECONDS = 30.0
SILENT_SECONDS = 10.0
BRING_TRIES = 30
PAUSE = 1.0
CUT_OFF = 75
TRANSPORT = (OSError, http.client.HTTPException, ValueError)


class Failed(Exception):
    """There is no request to work on. `told`: whether somebody waits for an answer all the same."""

    def __init__(self, text: str, *, told: bool) -> None:
        super().__init__(text)
        self.told = told


def main() -> None:
    """Arguments: the variable that holds the address, the program that a hand begins with, and the hand's size."""
    variable, begin, size = sys.argv[1:]
    address = os.environ.pop(variable)
    try:
        said = run([sys.executable, "-I", "-B", "-c", begin, size], fetch(address))
    except Failed as error:
        _tell(str(error))
        if error.told:
            bring(address, {"code": CUT_OFF, "out": "", "err": str(error)})
        sys.exit(CUT_OFF)
    sys.exit(0 if bring(address, said) else 1)


def run(hand: list[str], given: bytes) -> dict[str, object]:
    """What the hand says."""
    done = subprocess.run(hand, input=given, capture_output=True, check=False)
    out, err = (stream.decode(errors="replace") for stream in (done.stdout, done.stderr))
    return {"code": done.returncode, "out": out, "err": err}


def fetch(address: str, seconds: float = FETCH_SECONDS, starting: float = STARTING_SECONDS) -> bytes:
    """Patient with who is just starting; who has forgotten the request is believed at once. However it dribbles in, it
    is here within `seconds`, or Failed."""
    begun = time.monotonic()
    while True:
        try:
            with _within(begun + seconds - time.monotonic()), _ask(urllib.request.Request(address)) as reply:
                return bytes(reply.read())
        except urllib.error.HTTPError as error:
            raise Failed(f"nobody waits for this any more: HTTP {error.code}", told=False) from error
        except TRANSPORT as error:
            gone = time.monotonic() - begun
            if gone >= seconds:
                raise Failed(f"the request did not come whole within {seconds:g} s", told=True) from error
            if gone >= starting:
                why = getattr(error, "reason", error) or type(error).__name__
                raise Failed(f"the request did not come whole: {why}", told=True) from error
            time.sleep(PAUSE)


def bring(address: str, said: dict[str, object], tries: int = BRING_TRIES) -> bool:
    """Whether it has been taken. An answer must outlive neither side: the step can be asked for again."""
    asked = urllib.request.Request(address, data=json.dumps(said).encode(), method="POST")
    for left in reversed(range(tries)):
        try:
            with _within(SILENT_SECONDS), _ask(asked):
                return True
        except TRANSPORT as error:
            _tell(f"the answer is not taken: {error}")
            if left:
                time.sleep(PAUSE)
    return False


def _tell(text: str) -> None:
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def _ask(asked: urllib.request.Request) -> http.client.HTTPResponse:
    """A proxy that the environment names is not for the framework."""
    web = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    reply: http.client.HTTPResponse = web.open(asked, timeout=SILENT_SECONDS)
    return reply


@contextmanager
def _within(seconds: float) -> Iterator[None]:
    """TimeoutError, whatever this program waits for then: a time limit of sockets counts from each byte anew."""

    def late(*_: object) -> None:
        raise TimeoutError(f"no end within {seconds:g} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, max(seconds, 0.001))
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


if __name__ == "__main__":
    main()
