"""Process 1 of a host: starts the daemons in order, keeps them running, logs, reaps, and takes orders on a socket.

Orders are one line of JSON, answered by one line: `{"op": "status"}`; start, stop, restart with a `name`, answered when
it has happened, with `"wait": false` at once; `find` a unit; `reload` units' files; `reset` failures; `run` a program
once. Standard library only, and little of it: every host runs one.
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import socket
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tortie.base.errors import Invalid, NotFound, TortieError
from tortie.lab import unit_files
from tortie.lab.plan import Daemon
from tortie.lab.readiness import Check
from tortie.lab.service import Service, next_event
from tortie.lab.starting import CannotStart, spawn
from tortie.lab.table import Table

LOG_LIMIT = 20 * 1024 * 1024
ORDER_SECONDS = 180.0
OPERATIONS = ("status", "find", "start", "stop", "restart", "reload", "reset", "run")


class Waiting:
    """A client whose order has not come about yet."""

    def __init__(self, client: socket.socket, service: Service, deadline: float, warnings: Sequence[str] = ()) -> None:
        self.client, self.service, self.deadline, self.warnings = client, service, deadline, list(warnings)


class Supervisor:
    """Runs until its process ends; there is no way back from being process 1."""

    def __init__(
        self,
        daemons: Sequence[Daemon],
        *,
        control: Path,
        logs: Path,
        env: Mapping[str, str],
        sockets: Mapping[str, int],
        units: Path = unit_files.FOLDER,
    ) -> None:
        self.table = Table(daemons, units)
        self._checks = {daemon.name: Check(daemon.ready) for daemon in daemons}
        self._control, self._logs, self._env, self._sockets = control, logs, env, sockets
        self._selector = selectors.DefaultSelector()
        self._waiting: list[Waiting] = []

    def run(self, until: Callable[[], bool] = lambda: False) -> None:
        """Supervise; `until` is asked after every round."""
        while not until():
            self.round()

    def open(self) -> None:
        """Take orders from here on; before `run`."""
        read, write = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(write, warn_on_full_buffer=False)
        self._selector.register(read, selectors.EVENT_READ, lambda: _drain(read))
        # It gets its name when it answers: who finds the socket can use it.
        unnamed = self._control.with_name(f".{self._control.name}.new")
        unnamed.unlink(missing_ok=True)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        listener.bind(os.fspath(unnamed))
        unnamed.chmod(0o600)
        listener.listen(64)
        unnamed.rename(self._control)
        listener.setblocking(False)
        self._selector.register(listener, selectors.EVENT_READ, lambda: self._accept(listener))

    def round(self) -> None:
        """Wait for something to happen, then do what is due."""
        for key, _ in self._selector.select(next_event(self.table, time.monotonic())):
            key.data()
        self._reap()
        now = time.monotonic()
        for service in self.table:
            if service.asks_readiness:
                if self._checks[service.name].look():
                    service.found_ready(now)
            elif service.kill_at is not None and now >= service.kill_at:
                service.kill_at = None
                _signal(service, signal.SIGKILL)
        for service in self.table.due(now):
            self._start(service, now)
        self._answer_waiting(now)
        self.table.forget_ended()

    # -- processes

    def _start(self, service: Service, now: float) -> None:
        log = self._open_log(service.name)
        try:
            pid = spawn(service.daemon, service.argv, log, self._env, self._sockets)
        except CannotStart as error:
            os.write(log, f"supervisor: {error}\n".encode())
            service.since = now
            service.ended("exit 127", now)
        else:
            service.started(pid, now)
        finally:
            os.close(log)

    def _open_log(self, name: str) -> int:
        path = self._logs / f"{name}.log"
        if path.exists() and path.stat().st_size > LOG_LIMIT:
            path.replace(path.with_suffix(".log.1"))
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)

    def _reap(self) -> None:
        """Collect every dead child: ours, and those that lost their parents."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            for service in self.table:
                if service.pid == pid:
                    code = os.waitstatus_to_exitcode(status)
                    self._ended(service, f"exit {code}" if code >= 0 else f"signal {-code}")

    def _ended(self, service: Service, text: str) -> None:
        self._note(service.name, f"ended: {text}")
        if service.name in self._checks:
            self._checks[service.name].close()
        if service.daemon.manner.group:
            _signal(service, signal.SIGKILL)  # what it has left behind
        service.ended(text, time.monotonic())

    def _note(self, name: str, text: str) -> None:
        log = self._open_log(name)
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S")
        os.write(log, f"{stamp} supervisor: {name} {text}\n".encode())
        os.close(log)

    # -- orders

    def _accept(self, listener: socket.socket) -> None:
        try:
            client, _ = listener.accept()
        except OSError:
            return
        client.settimeout(1.0)
        self._selector.register(client, selectors.EVENT_READ, lambda: self._order(client))

    def _order(self, client: socket.socket) -> None:
        self._selector.unregister(client)
        try:
            line = client.makefile("rb").readline(65536)
            order = json.loads(line)
            operation = order["op"]
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            self._reply(client, {"error": "an order is one line of JSON with `op`"})
            return
        if operation not in OPERATIONS:
            self._reply(client, {"error": f"no operation {operation!r}; there are {', '.join(OPERATIONS)}"})
            return
        try:
            answer = self._carry_out(operation, order, client)
        except NotFound as error:
            answer = {"unknown": order.get("name"), "error": str(error)}
        except Invalid as error:
            answer = {"error": "\n".join(error.problems)}
        except TortieError as error:
            answer = {"error": str(error)}
        if answer is not None:
            self._reply(client, answer)

    def _carry_out(self, operation: str, order: Mapping[str, Any], client: socket.socket) -> dict[str, Any] | None:
        """The answer; None when it comes later."""
        now, name = time.monotonic(), str(order.get("name") or "")
        if operation == "status":
            return {"daemons": [service.report(now) for service in self.table]}
        if operation == "reload":
            return {"warnings": self.table.reload()}
        warnings: tuple[str, ...] = ()
        if operation == "run":
            service = self.table.run(_words(order.get("argv")), name)
        else:
            service, warnings = self.table.find(name)
        if operation == "reset":
            service.forget_failure()
        elif operation != "find":
            self._note(service.name, f"asked to {operation}")
            if operation != "run":
                self._ask(operation, service, now)
            if order.get("wait", True):
                self._waiting.append(Waiting(client, service, now + ORDER_SECONDS, warnings))
                return None
        return {"daemon": service.report(now), "warnings": list(warnings)}

    def _ask(self, operation: str, service: Service, now: float) -> None:
        if operation == "start":
            service.ask_start(now)
            return
        leaves = service.ask_restart(now) if operation == "restart" else service.ask_stop(now)
        if leaves:
            _signal(service, signal.SIGTERM)

    def _answer_waiting(self, now: float) -> None:
        left = []
        for waiting in self._waiting:
            service = waiting.service
            if service.state == "failed" or (service.wanted and service.state == "backoff"):
                self._reply(waiting.client, {"error": f"{service.name} ended at once: {service.last_exit}"})
            elif service.settled():
                self._reply(waiting.client, {"daemon": service.report(now), "warnings": waiting.warnings})
            elif now >= waiting.deadline:
                self._reply(waiting.client, {"error": f"{service.name} is still {service.state}"})
            else:
                left.append(waiting)
        self._waiting = left

    def _reply(self, client: socket.socket, answer: dict[str, Any]) -> None:
        try:
            client.sendall(json.dumps(answer).encode() + b"\n")
        except OSError as error:
            print(f"supervisor: a client went away: {error}", file=sys.stderr)
        client.close()


def _words(given: Any) -> list[str]:
    if not isinstance(given, list) or not all(isinstance(word, str) for word in given):
        raise Invalid("`argv` is a list of words")
    return given


def _signal(service: Service, number: signal.Signals) -> None:
    """To the service's process, or to all that it has started."""
    with contextlib.suppress(ProcessLookupError):
        if service.daemon.manner.group:
            os.killpg(service.pid, number)
        else:
            os.kill(service.pid, number)


def _drain(fd: int) -> None:
    try:
        while os.read(fd, 4096):
            pass
    except BlockingIOError:
        return
