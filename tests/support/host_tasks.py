"""Tasks on the networks of their agents that answer, and who asks them from other hosts without a pause."""

from __future__ import annotations

import json
import shlex
import socket
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from typing import Self

from tests.support.mesos_client import Framework, task
from tests.support.netns import within
from tests.support.waiting import PATIENCE, wait_until

PORT = 7007
HOUR = 3600.0
EVERY = 0.04
WITHOUT_ANSWER = 50
"""So many datagrams at most: a slow task's buffer holds them."""
ANSWERS = """
import socket, socketserver, sys, threading
class Line(socketserver.StreamRequestHandler):
    def handle(self):
        for line in self.rfile:
            self.wfile.write(line)
def echo(sock):
    while True:
        sock.sendto(*sock.recvfrom(100))
datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
datagrams.bind((sys.argv[1], int(sys.argv[2])))
server = socketserver.ThreadingTCPServer((sys.argv[1], int(sys.argv[2])), Line)
threading.Thread(target=echo, args=(datagrams,), daemon=True).start()
server.serve_forever()
"""


def launch(port: int, host: str, agents: Mapping[str, str]) -> None:
    """One task on each of these agents (name to address); returns once each runs. Their framework is away for an hour:
    it wants no offers, and its tasks are not ended."""
    framework = Framework(port, host=host, name="answers", failover_timeout=HOUR).subscribe()
    left = dict(agents)
    while left:
        offer = framework.offer()
        if (address := left.pop(offer["hostname"], "")) == "":
            continue
        line = shlex.join([sys.executable, "-c", ANSWERS, address, str(PORT)])
        named = f"answers-{offer['hostname']}"
        framework.accept(offer, task(offer, named, command={"shell": True, "value": f"exec {line}"}))
    for name in agents:
        framework.status(f"answers-{name}", "TASK_RUNNING")
    framework.close()


class Asker:
    """From one host to a task on another: datagrams, each of which is to be answered; a connection that stays, a
    new one each time. `stop` says what was lost."""

    def __init__(self, netns: str, address: str) -> None:
        self.name = f"{netns} to {address}"
        self.sent = self.rounds = self.fresh = 0
        self.answered: set[int] = set()
        self.broken: list[str] = []
        self._ending = threading.Event()
        self._place = (address, PORT)
        with within(netns):  # where a thread stays that is started there
            wait_until(self._there, message=f"{self.name}: a task that answers")
            kinds = (self._datagrams, self._talk, self._new)
            self._threads = [threading.Thread(target=self._guard, args=(kind,), daemon=True) for kind in kinds]
            for thread in self._threads:
                thread.start()

    def _there(self) -> bool:
        with suppress(OSError):
            socket.create_connection(self._place, PATIENCE).close()
            return True
        return False

    def _guard(self, what: Callable[[], None]) -> None:
        try:
            what()
        except OSError as error:
            self.broken.append(f"{what.__name__}: {error or type(error).__name__}")

    def _datagrams(self) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.connect(self._place)
            sock.setblocking(False)
            while not self._ending.wait(EVERY):
                if self.sent - len(self.answered) < WITHOUT_ANSWER:
                    sock.send(json.dumps(self.sent).encode())
                    self.sent += 1
                self._hear(sock)
            ends = time.monotonic() + PATIENCE
            while len(self.answered) < self.sent and time.monotonic() < ends:
                time.sleep(EVERY)
                self._hear(sock)

    def _hear(self, sock: socket.socket) -> None:
        while True:
            try:
                self.answered.add(json.loads(sock.recv(100)))
            except BlockingIOError:
                return

    def _talk(self) -> None:
        with socket.create_connection(self._place, PATIENCE) as sock, sock.makefile("rwb") as stream:
            while not self._ending.wait(EVERY):
                self._line(stream)
                self.rounds += 1

    def _new(self) -> None:
        while not self._ending.wait(EVERY):
            with socket.create_connection(self._place, PATIENCE) as sock, sock.makefile("rwb") as stream:
                self._line(stream)
            self.fresh += 1

    def _line(self, stream: object) -> None:
        stream.write(b"beat\n")  # type: ignore[attr-defined]
        stream.flush()  # type: ignore[attr-defined]
        if stream.readline() != b"beat\n":  # type: ignore[attr-defined]
            raise ConnectionError("the other end is gone")

    def goes_on(self) -> None:
        """Returns once something more of each kind has been answered."""
        before = (len(self.answered), self.rounds, self.fresh)

        def further() -> bool:
            now = (len(self.answered), self.rounds, self.fresh)
            return bool(self.broken) or all(new > old for old, new in zip(before, now, strict=True))

        wait_until(further, message=lambda: f"{self.name}: {before}, {self.broken}")

    def stop(self) -> str:
        """What was lost; nothing when all was answered."""
        self._ending.set()
        for thread in self._threads:
            thread.join(2 * PATIENCE)  # which waits as long for what is lost
        lost = sorted(set(range(self.sent)) - self.answered)
        said = [*self.broken, *([f"datagrams {lost} of {self.sent}"] if lost else [])]
        return f"{self.name}: {'; '.join(said)}" if said else ""


class Askers:
    """One for each of `ways`: the namespace that asks, the address that answers."""

    def __init__(self, ways: Sequence[tuple[str, str]]) -> None:
        self._ways = ways
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        self.all = [Asker(netns, address) for netns, address in self._ways]
        for asker in self.all:
            self._stack.callback(asker.stop)
            asker.goes_on()
        return self

    def __exit__(self, *problem: object) -> None:
        self._stack.close()

    def lost(self) -> list[str]:
        """Ends them."""
        for asker in self.all:
            asker.goes_on()
        return [said for asker in self.all if (said := asker.stop())]
