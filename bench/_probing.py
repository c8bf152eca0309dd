"""A stream of new flows, a millisecond apart, and which of them were let through."""

from __future__ import annotations

import select
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path

from tests.kernel.netlab import inside
from tests.support.waiting import wait_until

from tortie.lab.walks.prober import enter

SPACING = 0.001
# A refusal is back within less, or the packet was dropped.
SILENT = 0.05
QUIET_PROBES = 10
KEPT = 400


class Prober:
    """From `netns` to a closed UDP port of `address`: who arrives is refused by ICMP at once. Each probe is a socket of
    its own, so a flow of its own; the host must forget flows within a second (`forgetful`)."""

    def __init__(self, netns: str, address: str, port: int = 9) -> None:
        self._to = (address, port)
        self._netns = netns
        self._sent: list[float] = []
        self._through: list[bool] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Prober:
        self._thread.start()
        wait_until(lambda: len(self._sent) > QUIET_PROBES)
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        enter(Path("/var/run/netns", self._netns))
        poll, waiting = select.poll(), dict[int, tuple[int, socket.socket]]()
        due = time.monotonic()
        while not self._stop.is_set():
            sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
            sock.connect(self._to)
            waiting[sock.fileno()] = len(self._sent), sock
            poll.register(sock, select.POLLIN)
            self._through.append(False)
            self._sent.append(time.monotonic())
            sock.send(b"x")
            due = max(due + SPACING, time.monotonic())
            while (left := due - time.monotonic()) > 0:
                for fd, _ in poll.poll(left * 1000):
                    place, answered = waiting.pop(fd)
                    self._through[place] = True
                    poll.unregister(fd)
                    answered.close()
            while len(waiting) > KEPT:
                fd, (_, silent) = next(iter(waiting.items()))
                del waiting[fd]
                poll.unregister(fd)
                silent.close()
        for _, sock in waiting.values():
            sock.close()

    def settle(self, *, open_: bool) -> None:
        """Until the last flows whose answers must be here are all let through, or all not."""
        wait_until(lambda: self._last() == [open_] * QUIET_PROBES, message=f"new flows pass: {open_}")

    def _last(self) -> list[bool]:
        end, latest = len(self._through), time.monotonic() - SILENT
        while end and self._sent[end - 1] > latest:
            end -= 1
        return self._through[max(0, end - QUIET_PROBES) : end]

    def change(self, write: Callable[[], object], *, open_: bool) -> float:
        """Milliseconds from the moment before `write` to the first new flow that is judged as wanted; before it they
        were judged the other way."""
        self.settle(open_=not open_)
        first, began = len(self._sent), time.monotonic()
        write()
        wait_until(lambda: len(self._sent) > first)
        self.settle(open_=open_)
        passed = [place for place in range(first, len(self._sent)) if self._through[place]]
        # Opened by the first that passed, closed behind the last.
        changed = passed[0] if open_ else passed[-1] + 1 if passed else first
        return (self._sent[changed] - began) * 1000


def forgetful(netns: str) -> None:
    """Ports come again: a flow of half a minute ago would be let through as an old one."""
    names = ("udp_timeout", "udp_timeout_stream", "icmp_timeout")
    inside(netns, "sysctl", "-qw", *(f"net.netfilter.nf_conntrack_{name}=1" for name in names))
