"""Process 1 of a host: starts the daemons in order, keeps them running, logs, reaps, and takes orders on a socket.

Orders are one line of JSON, answered by one line: `{"op": "status"}`, or start, stop, restart with a `name`; the
answer to these comes when it has happened. Standard library only, and little of it: every host runs one.
"""

from __future__ import annotations

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

from tortie.lab.plan import Daemon
from tortie.lab.readiness import Check
from tortie.lab.service import Service, next_event, ready_names

PLAIN_SIGNALS = (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGPIPE, signal.SIGCHLD)
"""A daemon takes these as the kernel gives them, whatever the caller of `up` had done to them."""
LOG_LIMIT = 20 * 1024 * 1024
ORDER_SECONDS = 180.0
OPERATIONS = ("status", "start", "stop", "restart")


class Waiting:
    """A client whose order has not come about yet."""

    def __init__(self, client: socket.socket, service: Service, deadline: float) -> None:
        self.client, self.service, self.deadline = client, service, deadline


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
    ) -> None:
        self.services = {daemon.name: Service(daemon) for daemon in daemons}
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
        for key, _ in self._selector.select(next_event(self.services.values(), time.monotonic())):
            key.data()
        self._reap()
        now = time.monotonic()
        for service in self.services.values():
            if service.state == "starting" and service.daemon.ready.kind in ("listens", "http"):
                if self._checks[service.name].look():
                    service.found_ready(now)
            elif service.kill_at is not None and now >= service.kill_at:
                service.kill_at = None
                os.kill(service.pid, signal.SIGKILL)
        ready = ready_names(self.services.values())
        for service in self.services.values():
            if service.may_start(now, ready):
                self._start(service, now)
        self._answer_waiting(now)

    # -- processes

    def _start(self, service: Service, now: float) -> None:
        daemon = service.daemon
        log = self._open_log(daemon.name)
        passed = {str(name): self._sockets[name] for name in daemon.listen if name in self._sockets}
        env = {**self._env, **daemon.env, "LAB_SOCKETS": json.dumps(passed)} if passed else {**self._env, **daemon.env}
        actions: list[Any] = [(os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0)]
        actions += [(os.POSIX_SPAWN_DUP2, log, n) for n in (1, 2)]
        for fd in self._sockets.values():
            os.set_inheritable(fd, fd in passed.values())
        try:
            pid = os.posix_spawnp(
                daemon.argv[0],
                daemon.argv,
                env,
                file_actions=actions,
                setsid=True,
                setsigmask=(),
                setsigdef=PLAIN_SIGNALS,
            )
        except OSError as error:
            os.write(log, f"supervisor: cannot start {daemon.argv[0]}: {error.strerror}\n".encode())
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
            for service in self.services.values():
                if service.pid == pid:
                    code = os.waitstatus_to_exitcode(status)
                    text = f"exit {code}" if code >= 0 else f"signal {-code}"
                    self._note(service.name, f"ended: {text}")
                    self._checks[service.name].close()
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
            operation, name = order["op"], order.get("name", "")
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            self._reply(client, {"error": "an order is one line of JSON with `op`"})
            return
        if operation == "status":
            now = time.monotonic()
            self._reply(client, {"daemons": [service.report(now) for service in self.services.values()]})
        elif operation not in OPERATIONS:
            self._reply(client, {"error": f"no operation {operation!r}; there are {', '.join(OPERATIONS)}"})
        elif name not in self.services:
            self._reply(client, {"unknown": name, "error": f"no daemon {name!r} on this host"})
        else:
            self._carry_out(operation, self.services[name], client)

    def _carry_out(self, operation: str, service: Service, client: socket.socket) -> None:
        now = time.monotonic()
        self._note(service.name, f"asked to {operation}")
        if operation == "start":
            service.ask_start(now)
        elif (service.ask_stop if operation == "stop" else service.ask_restart)(now):
            os.kill(service.pid, signal.SIGTERM)
        self._waiting.append(Waiting(client, service, now + ORDER_SECONDS))

    def _answer_waiting(self, now: float) -> None:
        left = []
        for waiting in self._waiting:
            service = waiting.service
            if service.settled():
                self._reply(waiting.client, {"daemon": service.report(now)})
            elif service.wanted and service.state == "backoff":
                self._reply(waiting.client, {"error": f"{service.name} ended at once: {service.last_exit}"})
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


def _drain(fd: int) -> None:
    try:
        while os.read(fd, 4096):
            pass
    except BlockingIOError:
        return
