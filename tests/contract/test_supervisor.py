"""The supervisor with real processes, as process 1 of a PID namespace."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.support.supervised import Running
from tests.support.waiting import wait_until as wait

from tortie.base.errors import NotFound, Unavailable
from tortie.lab import control
from tortie.lab.plan import Daemon, Ready

pytestmark = pytest.mark.root


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[[list[Daemon]], Running]]:
    begun: list[Running] = []

    def begin(daemons: list[Daemon]) -> Running:
        begun.append(Running(tmp_path, daemons))
        return begun[-1]

    yield begin
    for running in begun:
        running.end()


def shell(name: str, text: str, *after: str, ready: Ready = Ready(), grace: float = 5.0) -> Daemon:  # noqa: B008
    return Daemon(name, ("sh", "-c", text), after, ready, grace=grace)


Start = Callable[[list[Daemon]], Running]


def test_daemons_start_in_order_and_one_that_ends_well_is_not_started_again(start: Start, tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    first = shell("first", f"echo first >> {trace}", ready=Ready("exit"))
    running = start([shell("second", f"echo second >> {trace}; sleep 60", "first"), first])
    wait(lambda: running.daemon("second")["state"] == "running" and trace.exists() and "second" in trace.read_text())
    assert trace.read_text() == "first\nsecond\n"
    assert running.daemon("first")["state"] == "done"


def test_a_killed_daemon_comes_back_as_another_process(start: Start) -> None:
    running = start([shell("d", "exec sleep 60")])
    wait(lambda: bool(running.daemon("d")["pid"]))
    before = running.daemon("d")["pid"]
    running.inside("kill", "-9", str(before))
    wait(lambda: running.daemon("d")["pid"] not in (None, before))
    assert running.daemon("d")["restarts"] == 1
    assert running.daemon("d")["last_exit"] == "signal 9"
    assert "ended: signal 9" in running.log("d")


def test_ready_means_that_it_listens(start: Start, tmp_path: Path) -> None:
    socket = tmp_path / "s.sock"
    listen = f"import socket,time; s=socket.socket(socket.AF_UNIX); s.bind('{socket}'); s.listen(); time.sleep(60)"
    ready = Ready("listens", str(socket))
    hold = f"import os,time\nwhile not os.path.exists('{tmp_path}/go'): time.sleep(0.02)\n"
    late = Daemon("late", (sys.executable, "-c", hold + listen), (), ready)
    running = start([late, shell("behind", "exec sleep 60", "late")])
    wait(lambda: running.daemon("late")["state"] == "starting")
    assert running.daemon("behind")["state"] == "waiting"
    (tmp_path / "go").touch()
    wait(lambda: running.daemon("behind")["state"] == "running")


def test_http_readiness_wants_a_200(start: Start, tmp_path: Path) -> None:
    program = f"""
import http.server, os, socketserver
class H(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        found = os.path.exists('{tmp_path}/go') and self.path == '/health'
        self.send_response(200 if found else 503); self.end_headers()
    def address_string(self): return 'x'
class S(socketserver.UnixStreamServer):
    pass
S('{tmp_path}/h.sock', H).serve_forever()
"""
    running = start([Daemon("h", (sys.executable, "-c", program), (), Ready("http", f"{tmp_path}/h.sock", "/health"))])
    wait(lambda: "503" in running.log("h"))
    assert running.daemon("h")["state"] == "starting"
    (tmp_path / "go").touch()
    wait(lambda: running.daemon("h")["state"] == "running")


def test_output_of_both_kinds_goes_to_the_log(start: Start) -> None:
    running = start([shell("talks", "echo out; echo err >&2; exec sleep 60")])
    wait(lambda: "out" in running.log("talks") and "err" in running.log("talks"))


def test_a_program_that_is_not_there_is_told_in_its_log_and_tried_again(start: Start) -> None:
    running = start([Daemon("none", ("/no/such/program",))])
    wait(lambda: running.daemon("none")["restarts"] != 0)
    assert "cannot start /no/such/program: No such file or directory" in running.log("none")


def test_orphans_are_reaped(start: Start) -> None:
    running = start([shell("parent", "exec sleep 60")])
    wait(lambda: running.daemon("parent")["state"] == "running")
    # A grandchild whose parent ends at once is handed to process 1.
    running.inside("sh", "-c", "(sh -c 'sleep 0.2' &) ")
    wait(lambda: "sleep 0.2" not in running.inside("ps", "-eo", "args"))
    wait(lambda: not any(line.startswith("Z") for line in running.inside("ps", "-eo", "stat,comm").splitlines()))


def test_stop_start_and_restart_answer_when_it_has_happened(start: Start) -> None:
    running = start([shell("d", "exec sleep 60")])
    wait(lambda: running.daemon("d")["state"] == "running")
    first = running.daemon("d")["pid"]
    running.order("stop", "d")
    assert running.daemon("d")["state"] == "stopped"
    assert str(first) not in running.inside("ps", "-eo", "pid").split()
    running.order("start", "d")
    second = running.daemon("d")["pid"]
    assert running.daemon("d")["state"] == "running"
    running.order("restart", "d")
    assert running.daemon("d")["pid"] not in (None, first, second)
    assert running.daemon("d")["restarts"] == 0


def test_one_that_does_not_end_is_killed_after_its_grace(start: Start) -> None:
    running = start([shell("stubborn", "trap '' TERM; echo set; while :; do sleep 0.05; done", grace=0.3)])
    wait(lambda: "set" in running.log("stubborn"))
    running.order("stop", "stubborn")
    assert running.daemon("stubborn")["last_exit"] == "signal 9"


def test_a_start_that_fails_is_answered_with_the_failure(start: Start) -> None:
    running = start([shell("bad", "exit 7", ready=Ready("listens", "/no/such/socket"))])
    wait(lambda: running.daemon("bad")["state"] == "backoff")
    running.order("stop", "bad")
    with pytest.raises(control.Refused, match="exit 7"):
        running.order("restart", "bad")


@pytest.mark.parametrize(
    "line", [b"\n", b"nonsense\n", b"[]\n", b'{"op": 1}\n', b'{"op": "explode", "name": "d"}\n', b""]
)
def test_bad_orders_are_answered_and_do_no_harm(start: Start, tmp_path: Path, line: bytes) -> None:
    running = start([shell("d", "exec sleep 60")])
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect(str(tmp_path / "control.sock"))
        sock.sendall(line)
        sock.shutdown(socket.SHUT_WR)
        assert b"error" in sock.makefile("rb").readline()
    wait(lambda: running.daemon("d")["state"] == "running")


def test_an_unknown_daemon_and_a_dead_supervisor_are_told_apart(start: Start, tmp_path: Path) -> None:
    running = start([shell("d", "exec sleep 60")])
    with pytest.raises(NotFound, match="no unit x"):
        running.order("stop", "x")
    running.end()
    with pytest.raises(Unavailable):
        control.order(tmp_path / "control.sock", "status")


def test_killing_the_supervisor_ends_everything_it_started(start: Start, tmp_path: Path) -> None:
    mark = f"86{os.getpid()}"
    running = start([shell("d", f"(setsid sleep {mark} &) ; exec sleep {mark}")])
    wait(lambda: running.inside("ps", "-eo", "args").count(f"sleep {mark}") >= 2)
    children = Path(f"/proc/{running.process.pid}/task/{running.process.pid}/children").read_text().split()
    os.kill(int(children[0]), signal.SIGKILL)
    running.process.wait()

    def left() -> list[str]:
        listed = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
        return [line for line in listed.splitlines() if line.startswith(f"sleep {mark}")]

    wait(lambda: left() == [])
