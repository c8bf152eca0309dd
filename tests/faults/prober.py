"""The continuous prober: streams that policy allows or forbids, each datagram a flow of its own, judged by its arrival.

One thread sends, one receives on raw sockets behind the destination's own rules. A datagram carries its stream and its
number, so what arrived of a forbidden stream is a leak whenever it comes, and what did not of an allowed one is a loss.
Conversations are TCP connections that have to outlive everything.
"""

from __future__ import annotations

import selectors
import socket
import struct
import threading
import time
from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field

from tests.differential.net import raw, within
from tests.support.waiting import PATIENCE, wait_until

MARK = b"tort"
LAYOUT = struct.Struct("!4sII")
FIRST_PORT, PORTS = 20_000, 30_000
ROUND = 0.005
EVERY = 4
"""An allowed stream sends in every fourth round: each of its datagrams stays in the kernel's table of connections."""
CONVERSATION_PORT = 7


@dataclass(eq=False)
class Stream:
    """Datagrams from a namespace to an address; `to` is the namespace that has it."""

    name: str
    source: str
    to: str
    address: str
    allowed: bool
    sent: array[float] = field(default_factory=lambda: array("d"))
    arrived: bytearray = field(default_factory=bytearray)

    def missing(self, first: int, last: int) -> list[int]:
        return [number for number in range(first, last) if not self.arrived[number]]


@dataclass(frozen=True)
class Tally:
    """What became of the datagrams; `during` are those sent within a time that is counted apart."""

    allowed: int
    forbidden: int
    leaks: dict[str, list[int]]
    losses: dict[str, list[int]]
    leaked_during: int
    lost_during: int

    def __str__(self) -> str:
        text = (
            f"{self.forbidden} forbidden, {sum(map(len, self.leaks.values()))} leaked; "
            f"{self.allowed} allowed, {sum(map(len, self.losses.values()))} lost"
        )
        apart = f"; counted apart: {self.leaked_during} leaked, {self.lost_during} lost"
        return text + (apart if self.leaked_during or self.lost_during else "")


class Conversation:
    """A TCP connection over which a number goes and comes back, as long as it is there."""

    def __init__(self, name: str, source: str, to: str, address: str) -> None:
        self.name, self.rounds, self.broken = name, 0, ""
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        server = within(to, lambda: socket.create_server((address, CONVERSATION_PORT), family=family))
        self._client = within(source, lambda: socket.create_connection((address, CONVERSATION_PORT), PATIENCE))
        server.settimeout(PATIENCE)
        self._peer = server.accept()[0]
        server.close()
        self._peer.settimeout(PATIENCE)
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._ask), threading.Thread(target=self._answer)]
        for thread in self._threads:
            thread.start()

    def _ask(self) -> None:
        try:
            while not self._stop.wait(0.02):
                self._client.sendall(LAYOUT.pack(MARK, 0, self.rounds))
                if len(self._client.recv(LAYOUT.size, socket.MSG_WAITALL)) < LAYOUT.size:
                    raise ConnectionError("the other end is gone")
                self.rounds += 1
        except OSError as error:
            self.broken = str(error) or type(error).__name__
        finally:
            self._client.close()

    def _answer(self) -> None:
        try:
            while data := self._peer.recv(LAYOUT.size, socket.MSG_WAITALL):
                self._peer.sendall(data)
        except OSError as error:
            self.broken = self.broken or str(error) or type(error).__name__
        finally:
            self._peer.close()

    def goes_on(self) -> None:
        """Once a further number has come back."""
        before = self.rounds
        wait_until(lambda: self.broken or self.rounds > before, message=f"conversation {self.name}")
        assert not self.broken, f"conversation {self.name} was cut after {self.rounds} rounds: {self.broken}"

    def stop(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()


class Prober:
    """Runs until stopped; `judge` says what became of everything that was sent since the last time."""

    def __init__(self, streams: Sequence[Stream], conversations: Sequence[Conversation] = ()) -> None:
        self.streams, self.conversations = list(streams), list(conversations)
        self._apart: list[tuple[float, float]] = []
        self._judged = dict.fromkeys(self.streams, 0)
        self._stop = threading.Event()
        self._failed: list[BaseException] = []
        self._selector = selectors.DefaultSelector()
        for family in (socket.AF_INET, socket.AF_INET6):
            for netns in sorted({s.to for s in self.streams if (":" in s.address) == (family == socket.AF_INET6)}):
                sock = within(netns, lambda family=family: raw(family, socket.IPPROTO_UDP))  # type: ignore[misc]
                self._selector.register(sock, selectors.EVENT_READ)
        self._sockets = [self._sender(stream) for stream in self.streams]
        self._threads = [threading.Thread(target=self._guard, args=(what,)) for what in (self._send, self._receive)]
        for thread in self._threads:
            thread.start()

    @staticmethod
    def _sender(stream: Stream) -> socket.socket:
        family = socket.AF_INET6 if ":" in stream.address else socket.AF_INET
        return within(stream.source, lambda: socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK))

    def _guard(self, what: object) -> None:
        try:
            what()  # type: ignore[operator]
        except BaseException as error:  # noqa: BLE001  handed on by `judge`
            self._failed.append(error)

    def _send(self) -> None:
        turn = 0
        while not self._stop.wait(ROUND):
            turn += 1
            for index, (stream, sock) in enumerate(zip(self.streams, self._sockets, strict=True)):
                if stream.allowed and turn % EVERY:
                    continue
                number = len(stream.sent)
                stream.arrived.append(0)
                stream.sent.append(time.monotonic())
                try:
                    sock.sendto(LAYOUT.pack(MARK, index, number), (stream.address, FIRST_PORT + number % PORTS))
                except OSError:
                    continue  # Refused on the spot: it will be found missing where it was allowed.

    def _receive(self) -> None:
        while not self._stop.is_set():
            for key, _ in self._selector.select(0.1):
                sock = key.fileobj
                assert isinstance(sock, socket.socket)
                self._drain(sock)

    def _drain(self, sock: socket.socket) -> None:
        while True:
            try:
                data = sock.recv(2048)
            except BlockingIOError:
                return
            mark, index, number = LAYOUT.unpack(data[-LAYOUT.size :]) if len(data) >= LAYOUT.size else (b"", 0, 0)
            if mark == MARK:
                self.streams[index].arrived[number] = 1

    def excuse(self, began: float, ended: float) -> None:
        """What was sent in this time is counted apart."""
        self._apart.append((began, ended))

    def _is_apart(self, when: float) -> bool:
        return any(began <= when <= ended for began, ended in self._apart)

    def goes_on(self) -> None:
        """Until something of each allowed stream that was sent after this call has arrived, and each conversation has
        gone on: what was sent before had its time."""
        marks = {stream: len(stream.sent) for stream in self.streams}
        for stream, mark in marks.items():
            what = f"datagrams of {stream.name}"
            if stream.allowed:
                wait_until(lambda s=stream, m=mark: self._failed or 1 in s.arrived[m:], message=what)  # type: ignore[misc]
            else:
                wait_until(lambda s=stream, m=mark: self._failed or len(s.sent) > m + 5, message=what)  # type: ignore[misc]
        if self._failed:
            raise AssertionError("the prober itself failed") from self._failed[0]
        for conversation in self.conversations:
            conversation.goes_on()

    def judge(self) -> Tally:
        """Of everything since the last call; a datagram that was overtaken gets the time to arrive all the same."""
        ends = {stream: len(stream.sent) for stream in self.streams}
        self.goes_on()
        spans = {stream: (self._judged[stream], end) for stream, end in ends.items()}
        self._judged = ends
        allowed = [stream for stream in self.streams if stream.allowed]
        deadline = time.monotonic() + 5
        while any(self._unexcused(s, s.missing(*spans[s])) for s in allowed) and time.monotonic() < deadline:
            time.sleep(0.05)
        losses = {s.name: s.missing(*spans[s]) for s in allowed}
        leaks = {
            s.name: [number for number in range(*spans[s]) if s.arrived[number]] for s in self.streams if not s.allowed
        }
        named = {s.name: s for s in self.streams}
        return Tally(
            allowed=sum(end - first for s, (first, end) in spans.items() if s.allowed),
            forbidden=sum(end - first for s, (first, end) in spans.items() if not s.allowed),
            leaks={name: found for name, all_ in leaks.items() if (found := self._unexcused(named[name], all_))},
            losses={name: found for name, all_ in losses.items() if (found := self._unexcused(named[name], all_))},
            leaked_during=sum(len(all_) - len(self._unexcused(named[name], all_)) for name, all_ in leaks.items()),
            lost_during=sum(len(all_) - len(self._unexcused(named[name], all_)) for name, all_ in losses.items()),
        )

    def _unexcused(self, stream: Stream, numbers: Sequence[int]) -> list[int]:
        return [number for number in numbers if not self._is_apart(stream.sent[number])]

    def stop(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()
        for conversation in self.conversations:
            conversation.stop()
        for key in list(self._selector.get_map().values()):
            assert isinstance(key.fileobj, socket.socket)
            key.fileobj.close()
        self._selector.close()
        for sock in self._sockets:
            sock.close()
