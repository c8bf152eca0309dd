"""The program that a hand is run by, as agents and stations start it: where its secret is, and when it gives up."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.support.waiting import PATIENCE

from tortie.packages.calico.tasks import Needs, runner
from tortie.packages.stations import ADDRESS

SHOWS = """\
import json, os, sys
def words(pid): return open("/proc/%d/cmdline" % pid).read()
seen = {"lines": [words(os.getpid()), words(os.getppid())], "environment": dict(os.environ)}
print(json.dumps({**seen, "given": sys.stdin.read(), "size": sys.argv[1]}))
"""
TOKEN = "5ecbe7"
Gives = Callable[["Asked"], None]


class Asked(BaseHTTPRequestHandler):
    server: Desk

    def do_GET(self) -> None:
        self.server.gives.pop(0)(self)

    def do_POST(self) -> None:
        self.server.said.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self.whole(b"")

    def whole(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        return


class Desk(ThreadingHTTPServer):
    """Answers each question for the request in another way; keeps what is said."""

    def __init__(self, *gives: Gives) -> None:
        super().__init__(("127.0.0.1", 0), Asked)
        self.gives, self.said = [*gives], list[Any]()
        self.ended = threading.Event()
        self.address = f"http://127.0.0.1:{self.server_port}/v1/hands/{TOKEN}"


@contextmanager
def desk(*gives: Gives) -> Iterator[Desk]:
    found = Desk(*gives)
    thread = threading.Thread(target=found.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield found
    finally:
        found.ended.set()
        found.shutdown()
        found.server_close()
        thread.join()


def run(at: Desk, **constants: float) -> subprocess.CompletedProcess[str]:
    """With a hand that shows what it and everybody else can see. `constants`: of the runner, others than its own."""
    words = [SHOWS if "sys.stdin" in word else word for word in runner(Needs(python=sys.executable), 7)]
    place = next(place for place, word in enumerate(words) if "FETCH_SECONDS" in word)
    for name, value in constants.items():
        before = next(line for line in words[place].splitlines() if line.startswith(f"{name} = "))
        words[place] = words[place].replace(before, f"{name} = {value}")
    environment = {"PATH": "/usr/bin:/bin", "http_proxy": "http://127.0.0.1:1", ADDRESS: at.address}
    return subprocess.run(words, env=environment, capture_output=True, text=True, timeout=PATIENCE, check=False)


def whole(asked: Asked) -> None:
    asked.whole(b"what is asked")


def nonsense(asked: Asked) -> None:
    asked.wfile.write(b"what?\r\n")
    asked.close_connection = True


def short(asked: Asked) -> None:
    asked.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 400\r\n\r\nwhat is")
    asked.close_connection = True


def forgotten(asked: Asked) -> None:
    asked.send_error(404)


def dripping(asked: Asked) -> None:
    """Always something, never all of it."""
    asked.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
    while not asked.server.ended.wait(0.05):
        asked.wfile.write(b"x")


def test_the_secret_is_in_no_command_line_and_not_in_what_a_hand_starts() -> None:
    with desk(whole) as at:
        assert run(at).returncode == 0
        (said,) = at.said
        seen = json.loads(said["out"])
        assert (said["code"], said["err"], seen["given"], seen["size"]) == (0, "", "what is asked", "7")
        assert not any(TOKEN in line for line in seen["lines"])
        assert TOKEN not in json.dumps(seen["environment"])


def test_who_is_just_starting_is_asked_again() -> None:
    with desk(nonsense, short, whole) as at:
        assert run(at, PAUSE=0.01).returncode == 0
        assert json.loads(at.said[0]["out"])["given"] == "what is asked"


def test_who_has_forgotten_the_request_is_believed_at_once() -> None:
    with desk(forgotten) as at:
        done = run(at)
        assert (done.returncode, at.said) == (75, [])
        assert done.stderr == "nobody waits for this any more: HTTP 404\n"


def test_a_request_that_dribbles_in_has_an_end_and_the_reason_is_told() -> None:
    with desk(dripping) as at:
        done = run(at, FETCH_SECONDS=1.0)
        reason = "the request did not come whole within 1 s"
        assert (done.returncode, done.stderr) == (75, f"{reason}\n")
        assert at.said == [{"code": 75, "out": "", "err": reason}]


def test_a_request_that_breaks_off_again_and_again_has_an_end_too() -> None:
    with desk(short) as at:
        done = run(at, STARTING_SECONDS=0.0)
        assert done.returncode == 75
        assert at.said[0]["err"] == "the request did not come whole: IncompleteRead(7 bytes read, 393 more expected)"
